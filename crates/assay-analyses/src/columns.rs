//! Columns that parameters name: found in the input, and checked for what is to be done with them.
//!
//! Column names inside SQL text are the engine's matter.

use std::collections::BTreeSet;

use assay_core::{Attribute, Code, Error, Input, Kind, Result, names};

use crate::params::invalid;

/// The column called `name`: as it is written, or else the only one that differs in case.
pub(crate) fn find<'a>(input: &'a Input, name: &str, pointer: &str) -> Result<&'a Attribute> {
    if let Some(exact) = input.schema.find(name) {
        return Ok(exact);
    }
    let folded = name.to_lowercase();
    let mut similar = input
        .schema
        .attributes
        .iter()
        .filter(|attribute| attribute.name.to_lowercase() == folded);
    if let (Some(only), None) = (similar.next(), similar.next()) {
        return Ok(only);
    }
    let known = input.schema.attributes.iter().map(|attribute| attribute.name.as_str());
    Err(Error::new(
        Code::UnknownColumn,
        format!("{} has no column `{name}`", input.described()),
    )
    .hint(names::suggest(name, known))
    .pointing(pointer))
}

/// The columns called `names`, each once.
pub(crate) fn find_all<'a>(input: &'a Input, names: &[String], pointer: &str) -> Result<Vec<&'a Attribute>> {
    let mut found = Vec::with_capacity(names.len());
    let mut seen = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        let place = format!("{pointer}/{index}");
        let attribute = find(input, name, &place)?;
        if !seen.insert(attribute.name.as_str()) {
            return Err(invalid(format!("column `{name}` is named twice"), place).hint("name each column once"));
        }
        found.push(attribute);
    }
    Ok(found)
}

/// Refuses a column that `what` cannot work on because it holds no numbers.
pub(crate) fn require_numeric(attribute: &Attribute, what: &str, pointer: &str) -> Result<()> {
    if attribute.kind.is_numeric() {
        return Ok(());
    }
    Err(mismatch(attribute, what, "numbers", pointer))
}

/// Refuses a column whose values have no order.
pub(crate) fn require_ordered(attribute: &Attribute, what: &str, pointer: &str) -> Result<()> {
    if is_ordered(&attribute.kind) {
        return Ok(());
    }
    Err(mismatch(attribute, what, "values that have an order", pointer))
}

/// Refuses a column whose values cannot be told apart cheaply: lists and objects.
pub(crate) fn require_comparable(attribute: &Attribute, what: &str, pointer: &str) -> Result<()> {
    if is_comparable(&attribute.kind) {
        return Ok(());
    }
    Err(mismatch(attribute, what, "plain values", pointer))
}

/// Whether values of the kind have a smallest and a largest.
pub(crate) fn is_ordered(kind: &Kind) -> bool {
    kind.is_numeric() || matches!(kind, Kind::Bool | Kind::Text | Kind::Date | Kind::Timestamp)
}

/// Whether values of the kind can be counted by value. JSON columns are, by their text.
pub(crate) fn is_comparable(kind: &Kind) -> bool {
    is_ordered(kind) || matches!(kind, Kind::Json | Kind::Binary)
}

fn mismatch(attribute: &Attribute, what: &str, wanted: &str, pointer: &str) -> Error {
    Error::new(
        Code::TypeMismatch,
        format!(
            "{what} needs {wanted}, and column `{}` is of type {}",
            attribute.name, attribute.kind
        ),
    )
    .hint("choose another column, or convert this one in SQL with the analysis `sql`")
    .pointing(pointer)
}

#[cfg(test)]
pub(crate) mod tests {
    use assay_core::{InputSource, Seen, TableSchema};

    use super::*;

    /// A data set without records.
    pub(crate) fn input(columns: &[(&str, Kind)]) -> Input {
        let attribute = |(name, kind): &(&str, Kind)| Attribute {
            name: (*name).to_owned(),
            kind: kind.clone(),
            seen: Seen::default(),
        };
        Input {
            name: "penguins".to_owned(),
            key: None,
            schema: TableSchema {
                attributes: columns.iter().map(attribute).collect(),
                ..TableSchema::default()
            },
            rows: 0,
            truncated: false,
            declared: Vec::new(),
            source: InputSource::Dataset {
                parts: Vec::new(),
                hot: Vec::new(),
            },
        }
    }

    #[test]
    fn a_column_is_found_as_written_and_else_without_regard_to_case() {
        let input = input(&[("tailNum", Kind::Text), ("Mag", Kind::Float64), ("mag", Kind::Text)]);
        assert_eq!(find(&input, "tailnum", "/p").unwrap().name, "tailNum");
        assert_eq!(find(&input, "mag", "/p").unwrap().name, "mag");
        assert_eq!(find(&input, "MAG", "/p").unwrap_err().code, Code::UnknownColumn);
    }

    #[test]
    fn a_slip_is_answered_with_the_nearest_name_and_its_place() {
        let input = input(&[("body_mass_g", Kind::Int64), ("species", Kind::Text)]);
        let error = find_all(&input, &["species".into(), "body_mas".into()], "/params/columns").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `body_mass_g`?"));
        assert_eq!(error.errors[0].pointer.as_deref(), Some("/params/columns/1"));
        let twice = find_all(&input, &["species".into(), "species".into()], "/params/columns").unwrap_err();
        assert_eq!(twice.code, Code::InvalidParameter);
    }
}
