//! `/logging`: levels of the application log.

use nuncio_app_log::Files;

use crate::LOG_LEVELS;
use crate::request::{Params, Request};
use crate::response::Response;
use crate::thread::Admin;

/// `/logging`
pub(crate) fn logging(admin: &Admin, request: &Request) -> Response {
    match change(admin, &request.params) {
        Ok(()) => Response::text(list(admin)),
        // As in Envoy, the list follows what is wrong.
        Err(error) => Response::error(400, usage(error) + &list(admin)),
    }
}

fn change(admin: &Admin, params: &Params) -> Result<(), &'static str> {
    let Some((name, value)) = params.first() else {
        return Ok(());
    };
    if params.len() > 1 {
        return Err("invalid number of parameters");
    }
    let fine = admin.context.log_levels.fine_grain();
    if name == "group" && !fine {
        return Err("group parameter requires fine-grain logging to be enabled");
    }
    // As in Envoy, an empty value changes nothing.
    if value.is_empty() {
        return Ok(());
    }
    match name {
        "level" => {
            admin.context.log_levels.set(None, level(value)?);
            Ok(())
        }
        "group" => {
            let pair = value.split_once(':');
            let pair = pair.filter(|(name, value)| !name.is_empty() && !value.is_empty());
            let (name, value) = pair.ok_or("empty logger name or empty logger level in group")?;
            let files = Files::Group(name.to_owned());
            admin.context.log_levels.set_files(files, level(value)?);
            Ok(())
        }
        "paths" => {
            let pairs = value.split(',').filter(|pair| !pair.is_empty());
            let pairs = pairs.map(|pair| pair.split_once(':').unwrap_or((pair, "")));
            match fine {
                true => change_files(admin, pairs),
                false => change_several(admin, pairs),
            }
        }
        _ if fine => change_files(admin, [(name, value)]),
        _ => change_several(admin, [(name, value)]),
    }
}

/// Changes all or, if one is wrong, none.
fn change_several<'a>(
    admin: &Admin,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), &'static str> {
    let levels = &admin.context.log_levels;
    let known = levels.levels();
    let mut changes = Vec::new();
    for (name, value) in pairs {
        if name.is_empty() || value.is_empty() {
            return Err("empty logger name or empty logger level");
        }
        changes.push((name, level(value)?));
    }
    if changes
        .iter()
        .any(|(name, _)| !known.iter().any(|(component, _)| component == name))
    {
        return Err("unknown logger name");
    }
    for (name, level) in changes {
        levels.set(Some(name), level);
    }
    Ok(())
}

/// The same for patterns of files, of which there need not be one yet.
fn change_files<'a>(
    admin: &Admin,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), &'static str> {
    let mut changes = Vec::new();
    for (name, value) in pairs {
        if name.is_empty() || value.is_empty() {
            return Err("empty logger name or empty logger level");
        }
        changes.push((Files::Matching(name.to_owned()), level(value)?));
    }
    for (files, level) in changes {
        admin.context.log_levels.set_files(files, level);
    }
    Ok(())
}

fn level(name: &str) -> Result<&'static str, &'static str> {
    let found = LOG_LEVELS.into_iter().find(|level| *level == name);
    found.ok_or("unknown logger level")
}

fn list(admin: &Admin) -> String {
    let mut out = String::from("active loggers:\n");
    for (component, level) in admin.context.log_levels.levels() {
        out.push_str(&format!("  {component}: {level}\n"));
    }
    out.push('\n');
    out
}

fn usage(error: &str) -> String {
    let mut out = format!(
        "error: {error}\n\n\
         usage: /logging?<name>=<level> (change single level)\n\
         usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n\
         usage: /logging?level=<level> (change all levels)\n\
         usage: /logging?group=<group_name>:<level> (change group of loggers)\n\
         levels: "
    );
    for level in LOG_LEVELS {
        out.push_str(level);
        out.push(' ');
    }
    out.push('\n');
    out
}
