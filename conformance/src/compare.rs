//! Recording, intended deviations and what was observed, brought together as a readable difference.

use serde_json::{Map, Value};

use crate::case::Scenario;

/// The recorded observation of `scenario` with its intended deviation applied (for Nuncio; never for Envoy itself).
pub(crate) fn expectation(scenario: &Scenario, recorded: &Value, deviate: bool) -> Value {
    let own = &recorded["scenarios"][&scenario.name];
    let Some(deviation) = scenario.deviation.as_ref().filter(|_| deviate) else {
        return own.clone();
    };
    let like = deviation.like.as_ref().unwrap_or(&scenario.name);
    let mut expected = recorded["scenarios"][like].clone();
    merge(&mut expected, &deviation.expect);
    expected
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        if !patch.is_null() {
            *target = patch.clone();
        }
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

/// `None` when `got` is what was expected, otherwise a unified difference.
pub(crate) fn difference(expected: &Value, got: &Value, ordered: bool) -> Option<String> {
    let mut expected = expected.clone();
    let mut got = got.clone();
    if !ordered {
        sort_headers(&mut expected);
        sort_headers(&mut got);
    }
    forgive(&mut expected, &got);
    if expected == got {
        return None;
    }
    Some(unified(&pretty(&expected), &pretty(&got)))
}

/// Where `*` is expected, anything is right.
fn forgive(expected: &mut Value, got: &Value) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, value) in expected {
                if let Some(other) = got.get(key) {
                    forgive(value, other);
                }
            }
        }
        (Value::Array(expected), Value::Array(got)) => {
            for (value, other) in expected.iter_mut().zip(got) {
                forgive(value, other);
            }
        }
        (expected, got) if *expected == "*" => *expected = got.clone(),
        _ => {}
    }
}

/// Header fields by name; fields of the same name keep their order, which has a meaning.
fn sort_headers(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match inner {
                    Value::Array(lines) if key == "headers" => lines.sort_by_key(name_of),
                    _ => sort_headers(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sort_headers),
        _ => {}
    }
}

fn name_of(line: &Value) -> String {
    let line = line.as_str().unwrap_or_default();
    // A pseudo header's name begins with a colon.
    let colon = line.get(1..).and_then(|rest| rest.find(':'));
    line[..colon.map_or(line.len(), |at| at + 1)].to_owned()
}

fn pretty(value: &Value) -> Vec<String> {
    format!("{value:#}").lines().map(str::to_owned).collect()
}

/// Unchanged lines shown around a change.
const AROUND: usize = 3;

/// A line difference by the longest common subsequence; the inputs are small.
fn unified(expected: &[String], got: &[String]) -> String {
    let (rows, columns) = (expected.len(), got.len());
    let mut longest = vec![vec![0_usize; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            longest[row][column] = if expected[row] == got[column] {
                longest[row + 1][column + 1] + 1
            } else {
                longest[row + 1][column].max(longest[row][column + 1])
            };
        }
    }
    let mut lines = Vec::new();
    let (mut row, mut column) = (0, 0);
    while row < rows || column < columns {
        if row < rows && column < columns && expected[row] == got[column] {
            lines.push((' ', &expected[row]));
            row += 1;
            column += 1;
        } else if column == columns
            || (row < rows && longest[row + 1][column] >= longest[row][column + 1])
        {
            lines.push(('-', &expected[row]));
            row += 1;
        } else {
            lines.push(('+', &got[column]));
            column += 1;
        }
    }
    let changed: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.0 != ' ')
        .map(|(at, _)| at)
        .collect();
    let mut out = String::from("  --- expected (recorded from Envoy)\n  +++ got\n");
    let mut skipped = false;
    for (at, (mark, line)) in lines.iter().enumerate() {
        if changed.iter().any(|change| change.abs_diff(at) <= AROUND) {
            out.push_str(&format!("  {mark} {line}\n"));
            skipped = false;
        } else if !skipped {
            out.push_str("  …\n");
            skipped = true;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_headers_counts_only_when_asked() {
        let a = json!({"headers": ["a: 1", "b: 2", "b: 1"]});
        let b = json!({"headers": ["b: 2", "b: 1", "a: 1"]});
        assert!(difference(&a, &b, false).is_none());
        assert!(difference(&a, &b, true).is_some());
        let c = json!({"headers": ["a: 1", "b: 1", "b: 2"]});
        assert!(difference(&a, &c, false).is_some());
    }

    #[test]
    fn a_star_matches_anything_that_is_there() {
        assert!(difference(&json!({"log": ["*"]}), &json!({"log": ["x"]}), false).is_none());
        assert!(difference(&json!({"log": ["*"]}), &json!({"log": []}), false).is_some());
    }

    #[test]
    fn a_difference_shows_both_sides() {
        let text = difference(&json!({"a": 1, "b": 2}), &json!({"a": 1, "b": 3}), false).unwrap();
        assert!(
            text.contains("-   \"b\": 2") && text.contains("+   \"b\": 3"),
            "{text}"
        );
    }

    #[test]
    fn patches_merge_and_remove() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(&mut value, &json!({"a": {"b": null, "e": 3}, "d": [2]}));
        assert_eq!(value, json!({"a": {"c": 2, "e": 3}, "d": [2]}));
    }
}
