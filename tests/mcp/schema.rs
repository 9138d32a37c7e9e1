//! The part of JSON Schema 2020-12 that the output schemas use.

use serde_json::Value;

/// Asserts that `value` conforms to `schema`. A keyword that is not known here is an error, so that
/// none is ignored.
#[track_caller]
pub fn assert_conforms(value: &Value, schema: &Value, what: &str) {
    if let Err(message) = check(value, schema) {
        panic!("{what}: {message}\nin {value}");
    }
}

fn check(value: &Value, schema: &Value) -> Result<(), String> {
    let Value::Object(keywords) = schema else {
        return if *schema == true { Ok(()) } else { Err("nothing is allowed here".to_owned()) };
    };
    for (keyword, rule) in keywords {
        let holds = match keyword.as_str() {
            "type" => match rule {
                Value::Array(types) => types.iter().any(|kind| is_type(value, kind)),
                kind => is_type(value, kind),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().unwrap()),
            "required" => {
                let names = rule.as_array().unwrap();
                names.iter().all(|name| {
                    value.as_object().is_none_or(|o| o.contains_key(name.as_str().unwrap()))
                })
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|rule| check(value, rule).is_ok()),
            "oneOf" => {
                let rules = rule.as_array().unwrap();
                rules.iter().filter(|rule| check(value, rule).is_ok()).count() == 1
            }
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(item, rule).map_err(|error| format!("[{i}]{error}"))?;
                }
                true
            }
            "properties" | "additionalProperties" => {
                let own = keywords.get("properties").and_then(Value::as_object);
                for (name, member) in value.as_object().into_iter().flatten() {
                    let declared = own.and_then(|own| own.get(name));
                    let rule = if keyword == "properties" {
                        declared
                    } else {
                        Some(rule).filter(|_| declared.is_none())
                    };
                    if let Some(rule) = rule {
                        check(member, rule).map_err(|error| format!(".{name}{error}"))?;
                    }
                }
                true
            }
            "$schema" | "title" | "description" | "default" | "format" => true,
            other => return Err(format!(": the keyword {other} is not known to this test")),
        };
        if !holds {
            return Err(format!(": {value} breaks {keyword} {rule}"));
        }
    }
    Ok(())
}

fn is_type(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the type {other}"),
    }
}

#[test]
fn a_value_that_does_not_conform_is_found() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "n": { "type": "integer", "minimum": 1 }, "s": { "enum": ["a", "b"] } },
        "additionalProperties": { "type": "array", "items": { "type": ["string", "null"] } },
        "required": ["n"],
    });
    let bad = |text: &str| check(&serde_json::from_str(text).unwrap(), &schema).is_err();
    assert!(!bad(r#"{ "n": 1, "s": "a", "x": ["y", null] }"#));
    for text in ["{}", "[]", r#"{ "n": 0 }"#, r#"{ "n": 1, "s": "c" }"#, r#"{ "n": 1, "x": [2] }"#]
    {
        assert!(bad(text), "{text}");
    }
}
