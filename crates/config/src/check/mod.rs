//! One walk over an encoded message in normal form that applies Envoy's validation rules ([`rules`]) and the field support
//! table ([`support`](crate::support)), through every `Any`.
//!
//! Nothing stops at the first error, and nothing is written down unless it is wrong: the path exists as
//! a stack of frames.

mod formats;
mod plan;
mod rules;
mod values;

use std::collections::HashMap;

use crate::{
    ConfigError,
    any::type_name,
    path::{Path, Step},
    schema::{FieldType, MessageType, WellKnown},
    support::{self, Support},
    wire::{self, WireValue},
};

pub(crate) use plan::Plans;
use plan::{FieldPlan, Plan};

/// Types of extensions whose validation rules Envoy does not apply, and whose values are all put to some use. (There are more
/// that it does not check; of those a value that breaks the rules would break Envoy, too.)
const UNCHECKED: [&str; 5] = [
    "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
    "envoy.extensions.load_balancing_policies.random.v3.Random",
    "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig",
    "envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig",
];

/// What the walk found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// In the order of the walk.
    pub(crate) errors: Vec<ConfigError>,
    /// Deprecated fields and values that are used.
    pub(crate) warnings: Vec<ConfigError>,
}

/// Checks an encoded message of type `message`.
pub(crate) fn check(message: MessageType, bytes: &[u8]) -> Findings {
    check_with(&mut Plans::default(), message, bytes)
}

/// The same for those who check many: `plans` are kept for the next one.
pub(crate) fn check_with(plans: &mut Plans, message: MessageType, bytes: &[u8]) -> Findings {
    let mut checker = Checker::new(std::mem::take(plans));
    checker.message(
        message,
        bytes,
        Watch {
            rules: true,
            support: true,
        },
    );
    *plans = checker.plans;
    checker.findings
}

/// A step of the walk: into a field of a message, and an element of it.
#[derive(Clone, Copy)]
struct Frame<'a> {
    message: MessageType,
    field: FieldType,
    element: Element<'a>,
}

impl Frame<'_> {
    /// Into the field as such.
    fn whole(message: MessageType, field: FieldType) -> Self {
        Self {
            message,
            field,
            element: Element::Whole,
        }
    }
}

#[derive(Clone, Copy)]
enum Element<'a> {
    Whole,
    Index(usize),
    Key(&'a str),
}

/// What is looked at below a message.
#[derive(Clone, Copy)]
struct Watch {
    /// Validation rules; off below a field with `skip`.
    rules: bool,
    /// The support table; off below a field that is refused or harmless as a whole.
    support: bool,
}

struct Checker<'a> {
    frames: Vec<Frame<'a>>,
    /// Where the innermost `Any` begins in `frames`: validation errors are told from there.
    root: usize,
    /// The fields of all messages that are being walked, by position; each message sees its own end of it.
    present: Vec<(usize, WireValue<'a>)>,
    plans: Plans,
    regexes: HashMap<&'static [u8], Option<regex_automata::meta::Regex>>,
    findings: Findings,
}

impl<'a> Checker<'a> {
    fn new(plans: Plans) -> Self {
        Self {
            frames: Vec::new(),
            root: 0,
            present: Vec::new(),
            plans,
            regexes: HashMap::new(),
            findings: Findings::default(),
        }
    }

    fn path(&self) -> String {
        let mut path = Path::default();
        for frame in &self.frames {
            path.0.push(Step::Field(frame.field.name()));
            match frame.element {
                Element::Whole => {}
                Element::Index(index) => path.0.push(Step::Index(index)),
                Element::Key(key) => path.0.push(Step::Key(key)),
            }
        }
        path.to_string()
    }

    /// Runs `body` one step further down.
    fn under(&mut self, frame: Frame<'a>, body: impl FnOnce(&mut Self)) {
        self.frames.push(frame);
        body(self);
        self.frames.pop();
    }

    fn message(&mut self, message: MessageType, bytes: &'a [u8], watch: Watch) {
        let start = self.present.len();
        let plan = self.plans.get(message);
        for field in wire::fields(bytes).flatten() {
            if let Some(position) = plan.position(field.number) {
                self.present.push((position, field.value));
            }
        }
        if watch.support && plan.supported {
            self.support(&plan, start);
        }
        if watch.rules && plan.checked {
            self.rules(&plan, start);
        }
        self.children(&plan, start, watch);
        self.present.truncate(start);
    }

    /// Walks into the messages that the fields from `start` on hold.
    fn children(&mut self, plan: &Plan, start: usize, watch: Watch) {
        let message = plan.message;
        let mut index = 0;
        for i in start..self.present.len() {
            let (position, value) = self.present[i];
            index = if i > start && self.present[i - 1].0 == position {
                index + 1
            } else {
                0
            };
            let FieldPlan { field, inner, .. } = plan.fields[position];
            let Some(inner) = inner else {
                continue;
            };
            let support = watch.support && inner.support;
            let rules = watch.rules && inner.rules;
            let watch = Watch { rules, support };
            if inner.well_known != WellKnown::Any
                && !(rules && inner.checked)
                && (!support || inner.leaf)
            {
                continue;
            }
            if inner.map {
                self.map_entry(plan, position, inner.message, value.bytes(), watch);
                continue;
            }
            let element = if inner.repeated {
                Element::Index(index)
            } else {
                Element::Whole
            };
            self.under(
                Frame {
                    message,
                    field,
                    element,
                },
                |this| match inner.well_known {
                    WellKnown::Any => this.any(plan, position, value.bytes(), watch),
                    _ => this.message(inner.message, value.bytes(), watch),
                },
            );
        }
    }

    fn map_entry(
        &mut self,
        plan: &Plan,
        position: usize,
        entry: MessageType,
        bytes: &'a [u8],
        watch: Watch,
    ) {
        let Some(value_field) = entry.field_by_number(2) else {
            return;
        };
        let Some(inner) = value_field.message() else {
            return;
        };
        let key = wire::find(bytes, 1).map_or(&[][..], WireValue::bytes);
        let element = Element::Key(std::str::from_utf8(key).unwrap_or_default());
        let value = wire::find(bytes, 2).map_or(&[][..], WireValue::bytes);
        let (message, field) = (plan.message, plan.fields[position].field);
        self.under(
            Frame {
                message,
                field,
                element,
            },
            |this| match inner.well_known() {
                WellKnown::Any => this.any(plan, position, value, watch),
                _ => this.message(inner, value, watch),
            },
        );
    }

    /// Walks into an `Any` that a field holds.
    fn any(&mut self, plan: &Plan, position: usize, bytes: &'a [u8], watch: Watch) {
        let url = wire::find(bytes, 1).map_or(&[][..], WireValue::bytes);
        let name = type_name(std::str::from_utf8(url).unwrap_or_default());
        let Some(inner) = MessageType::find(name) else {
            return;
        };
        if watch.support
            && let Support::Extension(allowed) = plan.fields[position].support
            && !allowed.contains(&name)
        {
            let supported = if allowed.is_empty() {
                "none yet".to_owned()
            } else {
                allowed.join(", ")
            };
            let error = ConfigError::new(
                self.path(),
                format!("unsupported: {name} is not supported yet"),
            );
            self.findings
                .errors
                .push(error.with_remedy(format!("supported here: {supported}")));
            return;
        }
        let outer = std::mem::replace(&mut self.root, self.frames.len());
        let value = wire::find(bytes, 2).map_or(&[][..], WireValue::bytes);
        let rules = watch.rules && !UNCHECKED.contains(&name);
        self.message(inner, value, Watch { rules, ..watch });
        self.root = outer;
    }

    /// Looks up every field that is set in the support table.
    fn support(&mut self, plan: &Plan, start: usize) {
        let message = plan.message;
        let mut before = None;
        for i in start..self.present.len() {
            let (position, value) = self.present[i];
            let FieldPlan {
                field,
                quiet,
                support,
                ..
            } = plan.fields[position];
            // Further elements of the same repeated field say nothing new.
            if before.replace(position) == Some(position) || quiet {
                continue;
            }
            if field.is_deprecated() {
                let text = format!(
                    "Using deprecated option '{}.{}'. This configuration will be removed from Envoy soon.",
                    message.name(),
                    field.name()
                );
                self.warn(message, field, text);
            }
            if let Some(named) = field
                .enumeration()
                .and_then(|e| e.by_number(rules::signed(value)))
                && named.deprecated
            {
                let text = format!(
                    "Using the deprecated value {} of '{}.{}'",
                    named.name,
                    message.name(),
                    field.name()
                );
                self.warn(message, field, text);
            }
            let (problem, remedy) = match support {
                Support::Implemented | Support::Harmless(_) | Support::Extension(_) => continue,
                Support::Refused(remedy) => (None, remedy),
                Support::Only(allowed) => {
                    let shown = support::show(field, value);
                    if allowed.contains(&shown.as_str()) {
                        continue;
                    }
                    (
                        Some(format!(
                            "{shown} is not supported yet; supported: {}",
                            allowed.join(", ")
                        )),
                        "",
                    )
                }
            };
            let what = problem.unwrap_or_else(|| "is not supported yet".into());
            let text = format!(
                "unsupported: {}.{} {what}",
                message.short_name(),
                field.name()
            );
            let remedy = if remedy.is_empty() {
                "remove the field"
            } else {
                remedy
            };
            self.under(Frame::whole(message, field), |this| {
                let error = ConfigError::new(this.path(), text).with_remedy(remedy);
                this.findings.errors.push(error);
            });
        }
    }

    fn warn(&mut self, message: MessageType, field: FieldType, text: String) {
        self.under(Frame::whole(message, field), |this| {
            let warning = ConfigError::new(this.path(), text);
            this.findings.warnings.push(warning);
        });
    }
}

#[cfg(test)]
mod tests;
