//! JSON Patch (RFC 6902) over values that keep every digit.

use assay_core::{Code, Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Node;

/// Operations in order; all happen or none.
#[derive(Debug)]
pub(crate) struct Patch(Vec<Operation>);

#[derive(Debug)]
enum Operation {
    Add { path: Pointer, value: Node },
    Remove { path: Pointer },
    Replace { path: Pointer, value: Node },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: Node },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pointer(Vec<String>);

#[derive(Deserialize)]
struct Form<'a> {
    op: String,
    path: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default, borrow)]
    value: Option<&'a RawValue>,
}

impl Patch {
    /// # Errors
    /// `InvalidRequest` with the number of the operation.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let forms: Vec<Form<'_>> = serde_json::from_str(text).map_err(|fault| {
            Error::new(Code::InvalidRequest, format!("the body is no JSON Patch: {fault}"))
                .hint("send `[{\"op\": \"replace\", \"path\": \"/a\", \"value\": 1}]`, or a merge patch")
                .at(fault.line() as u64, Some(fault.column() as u64))
        })?;
        let operations = forms.into_iter().enumerate().map(|(at, form)| {
            operation(form).map_err(|message| Error::new(Code::InvalidRequest, message).pointing(format!("/{at}")))
        });
        operations.collect::<Result<_>>().map(Self)
    }

    /// # Errors
    /// `Conflict` when an operation does not apply, with its number.
    pub(crate) fn apply(&self, target: Node) -> Result<Node> {
        let mut node = target;
        for (at, operation) in self.0.iter().enumerate() {
            node = operation.apply(node).map_err(|message| {
                Error::new(Code::Conflict, message)
                    .hint("read the record again; nothing was changed")
                    .pointing(format!("/{at}"))
            })?;
        }
        Ok(node)
    }
}

fn operation(form: Form<'_>) -> std::result::Result<Operation, String> {
    let Form { op, path, from, value } = form;
    let path = Pointer::parse(&path)?;
    let value = || {
        let value = value.ok_or_else(|| format!("`{op}` needs a `value`"))?;
        Node::parse(value.get()).map_err(|error| error.message)
    };
    let from = || Pointer::parse(&from.ok_or_else(|| format!("`{op}` needs `from`"))?);
    Ok(match op.as_str() {
        "add" => Operation::Add { path, value: value()? },
        "remove" => Operation::Remove { path },
        "replace" => Operation::Replace { path, value: value()? },
        "move" => Operation::Move { from: from()?, path },
        "copy" => Operation::Copy { from: from()?, path },
        "test" => Operation::Test { path, value: value()? },
        _ => {
            return Err(format!(
                "`{op}` is no operation: use add, remove, replace, move, copy or test"
            ));
        }
    })
}

impl Operation {
    fn apply(&self, mut node: Node) -> std::result::Result<Node, String> {
        match self {
            Operation::Add { path, value } => path.add(&mut node, value.clone())?,
            Operation::Remove { path } => drop(path.remove(&mut node)?),
            Operation::Replace { path, value } => *path.find_mut(&mut node)? = value.clone(),
            Operation::Move { from, path } => {
                if path.0.len() > from.0.len() && path.0.starts_with(&from.0) {
                    return Err(format!("`{}` cannot be moved into itself", from.text()));
                }
                let value = from.remove(&mut node)?;
                path.add(&mut node, value)?;
            }
            Operation::Copy { from, path } => {
                let value = from.find_mut(&mut node)?.clone();
                path.add(&mut node, value)?;
            }
            Operation::Test { path, value } => {
                if !path.find_mut(&mut node)?.means(value) {
                    return Err(format!("the test at `{}` failed", path.text()));
                }
            }
        }
        Ok(node)
    }
}

impl Pointer {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is no JSON pointer: it begins with `/`"));
        };
        Ok(Self(
            rest.split('/')
                .map(|token| token.replace("~1", "/").replace("~0", "~"))
                .collect(),
        ))
    }

    fn text(&self) -> String {
        self.0
            .iter()
            .map(|token| format!("/{}", super::escaped(token)))
            .collect()
    }

    fn missing(&self) -> String {
        format!("there is nothing at `{}`", self.text())
    }

    fn find_mut<'n>(&self, root: &'n mut Node) -> std::result::Result<&'n mut Node, String> {
        let mut node = root;
        for token in &self.0 {
            let child = match node {
                Node::Object(members) => members
                    .iter_mut()
                    .find(|(name, _)| name == token)
                    .map(|(_, value)| value),
                Node::Array(items) => index(token).and_then(|at| items.get_mut(at)),
                Node::Scalar(_) => None,
            };
            node = child.ok_or_else(|| self.missing())?;
        }
        Ok(node)
    }

    fn split(&self) -> Option<(Self, &str)> {
        let (last, parent) = self.0.split_last()?;
        Some((Self(parent.to_vec()), last))
    }

    fn add(&self, root: &mut Node, value: Node) -> std::result::Result<(), String> {
        let Some((parent, last)) = self.split() else {
            *root = value;
            return Ok(());
        };
        match parent.find_mut(root)? {
            Node::Object(members) => match members.iter_mut().find(|(name, _)| name == last) {
                Some((_, known)) => *known = value,
                None => members.push((last.to_owned(), value)),
            },
            Node::Array(items) => {
                let at = if last == "-" { Some(items.len()) } else { index(last) };
                match at.filter(|at| *at <= items.len()) {
                    Some(at) => items.insert(at, value),
                    None => return Err(self.missing()),
                }
            }
            Node::Scalar(_) => return Err(self.missing()),
        }
        Ok(())
    }

    fn remove(&self, root: &mut Node) -> std::result::Result<Node, String> {
        let Some((parent, last)) = self.split() else {
            return Err("the whole record cannot be removed by a patch".to_owned());
        };
        let removed = match parent.find_mut(root)? {
            Node::Object(members) => {
                let place = members.iter().position(|(name, _)| name == last);
                place.map(|place| members.remove(place).1)
            }
            Node::Array(items) => index(last).filter(|at| *at < items.len()).map(|at| items.remove(at)),
            Node::Scalar(_) => None,
        };
        removed.ok_or_else(|| self.missing())
    }
}

/// A place in a list, written without leading zeros.
fn index(token: &str) -> Option<usize> {
    let is_canonical = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    is_canonical.then(|| token.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(target: &str, patch: &str) -> Result<String> {
        Patch::parse(patch)?
            .apply(Node::parse(target)?)
            .map(|node| node.to_text())
    }

    /// The examples of RFC 6902, appendix A.
    #[test]
    fn patches_are_those_of_the_rfc() {
        for (target, patch, result) in [
            (
                r#"{"foo":"bar"}"#,
                r#"[{"op":"add","path":"/baz","value":"qux"}]"#,
                r#"{"foo":"bar","baz":"qux"}"#,
            ),
            (
                r#"{"foo":["bar","baz"]}"#,
                r#"[{"op":"add","path":"/foo/1","value":"qux"}]"#,
                r#"{"foo":["bar","qux","baz"]}"#,
            ),
            (
                r#"{"baz":"qux","foo":"bar"}"#,
                r#"[{"op":"remove","path":"/baz"}]"#,
                r#"{"foo":"bar"}"#,
            ),
            (
                r#"{"foo":["bar","qux","baz"]}"#,
                r#"[{"op":"remove","path":"/foo/1"}]"#,
                r#"{"foo":["bar","baz"]}"#,
            ),
            (
                r#"{"baz":"qux","foo":"bar"}"#,
                r#"[{"op":"replace","path":"/baz","value":"boo"}]"#,
                r#"{"baz":"boo","foo":"bar"}"#,
            ),
            (
                r#"{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}"#,
                r#"[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]"#,
                r#"{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}"#,
            ),
            (
                r#"{"foo":["all","grass","cows","eat"]}"#,
                r#"[{"op":"move","from":"/foo/1","path":"/foo/3"}]"#,
                r#"{"foo":["all","cows","eat","grass"]}"#,
            ),
            (
                r#"{"baz":"qux","foo":["a",2,"c"]}"#,
                r#"[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]"#,
                r#"{"baz":"qux","foo":["a",2,"c"]}"#,
            ),
            (
                r#"{"foo":"bar"}"#,
                r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
                r#"{"foo":"bar","child":{"grandchild":{}}}"#,
            ),
            (
                r#"{"/":9,"~1":10}"#,
                r#"[{"op":"test","path":"/~01","value":10}]"#,
                r#"{"/":9,"~1":10}"#,
            ),
            (
                r#"{"foo":["bar"]}"#,
                r#"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#,
                r#"{"foo":["bar",["abc","def"]]}"#,
            ),
            (
                r#"{"a":1.50}"#,
                r#"[{"op":"copy","from":"/a","path":"/b"}]"#,
                r#"{"a":1.50,"b":1.50}"#,
            ),
        ] {
            assert_eq!(apply(target, patch).unwrap(), result, "{patch}");
        }
    }

    #[test]
    fn what_does_not_apply_changes_nothing() {
        for patch in [
            r#"[{"op":"test","path":"/baz","value":"bar"}]"#,
            r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#,
            r#"[{"op":"remove","path":"/x"}]"#,
            r#"[{"op":"replace","path":"/x","value":1}]"#,
            r#"[{"op":"add","path":"/list/01","value":1}]"#,
            r#"[{"op":"add","path":"/list/3","value":1}]"#,
            r#"[{"op":"move","from":"/list","path":"/list/0"}]"#,
        ] {
            let refused = apply(r#"{"baz":"qux","list":[1]}"#, patch).unwrap_err();
            assert_eq!(
                (refused.code, refused.errors[0].pointer.as_deref()),
                (Code::Conflict, Some("/0")),
                "{patch}"
            );
        }
        for patch in [
            r#"{"op":"add"}"#,
            r#"[{"op":"spam","path":"/a"}]"#,
            r#"[{"op":"add","path":"a","value":1}]"#,
            r#"[{"op":"add","path":"/a"}]"#,
        ] {
            assert_eq!(apply("{}", patch).unwrap_err().code, Code::InvalidRequest, "{patch}");
        }
    }
}
