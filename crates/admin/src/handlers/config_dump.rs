//! `/config_dump`: the configuration in force.

mod endpoints;
mod section;
mod sections;

use nuncio_route::regex::Regex;

use crate::json::write_list;
use crate::request::Request;
use crate::response::{BARE_TEXT, Body, JSON, Response};
use crate::thread::Admin;
use section::{Resource, Section};
use sections::sections;

/// `/config_dump`
pub(crate) fn config_dump(admin: &Admin, request: &Request) -> Response {
    let params = &request.params;
    let name_regex = match params
        .get_some("name_regex")
        .map(|text| (text, Regex::new(text)))
    {
        None => None,
        Some((_, Ok(regex))) => Some(regex),
        Some((text, Err(error))) => {
            let message =
                format!("INVALID_ARGUMENT: Error while parsing name_regex from {text}: {error}");
            return refuse(400, message);
        }
    };
    let sections = sections(admin, name_regex.as_ref(), params.has("include_eds"));
    let mask = params.get_some("mask");
    let paths: Vec<String> = mask
        .map(|mask| {
            mask.split(',')
                .filter(|path| !path.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    match params.get_some("resource") {
        Some(resource) => dump_resource(sections, resource, &paths),
        None => dump_all(sections, mask.unwrap_or_default(), &paths),
    }
}

fn refuse(status: u16, message: String) -> Response {
    Response::new(status, BARE_TEXT, Body::Text(message))
}

/// The items of one list.
fn dump_resource(sections: Vec<Section>, resource: &str, paths: &[String]) -> Response {
    let found = sections
        .iter()
        .position(|section| section.resource(resource).is_some());
    let Some(section) = found.and_then(|at| sections.into_iter().nth(at)) else {
        return refuse(404, format!("{resource} not found in config dump"));
    };
    // The first item tells whether the mask can be used; what is sent later cannot be taken back.
    let first = match section.resource(resource) {
        Some(Resource::List(list)) => list.and_then(|list| list.print(paths).next()),
        _ => Some(Err(format!(
            "{resource} is not a repeated field. Use ?mask={resource} to get only this field"
        ))),
    };
    if let Some(Err(error)) = first {
        return refuse(400, error);
    }
    let (resource, paths) = (resource.to_owned(), paths.to_vec());
    Response::stream(JSON, move |out| {
        let list = match section.resource(&resource) {
            Some(Resource::List(list)) => list,
            _ => None,
        };
        let items = list.into_iter().flat_map(|list| list.print(&paths));
        write_list(out, "configs", items.filter_map(Result::ok))
    })
}

/// All sections to which the mask can be applied.
fn dump_all(sections: Vec<Section>, mask: &str, paths: &[String]) -> Response {
    let sections: Vec<Section> = match paths.is_empty() {
        true => sections,
        false => sections
            .into_iter()
            .filter_map(|section| section.trim(paths).ok())
            .collect(),
    };
    if sections.is_empty() {
        return refuse(
            400,
            format!("FieldMask {mask} could not be successfully applied to any configs."),
        );
    }
    Response::stream(JSON, move |out| {
        out.write_str("{\n \"configs\": [\n")?;
        for (index, section) in sections.iter().enumerate() {
            out.write_str(if index == 0 { "  " } else { ",\n  " })?;
            section.write(out, 2)?;
        }
        out.write_str("\n ]\n}\n")
    })
}
