//! Names without quotes mean the one table or column they match whatever their case; the engine then sees exact names.
//!
//! An exact match comes first; several matches without an exact one are refused. Names that match nothing are left to
//! the planner, which knows scopes and says what there is.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use assay_core::{Code, Error, Input, Kind, Result};
use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, LambdaFunction, ObjectName, ObjectNamePart,
    OneOrManyWithParens, Query, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, Statement,
    TableAlias, TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions,
};

use super::{HISTORY, history_name};
use crate::session::unknown_dataset;

/// # Errors
/// `UnknownDataset` for a table that is none of `inputs`; `UnknownColumn` for a name that matches several columns.
pub(super) fn resolve(statement: &mut Statement, inputs: &[Input], known: &[String]) -> Result<()> {
    let mut found = Found::new(inputs, known);
    if let ControlFlow::Break(error) = Visit::visit(statement, &mut found) {
        return Err(error);
    }
    let mut spell = Spell { names: found.names };
    match VisitMut::visit(statement, &mut spell) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The spellings of names by their folded form.
#[derive(Default)]
struct Spellings(HashMap<String, BTreeSet<String>>);

impl Spellings {
    fn add(&mut self, name: &str) {
        self.0.entry(name.to_lowercase()).or_default().insert(name.to_owned());
    }

    fn find(&self, name: &str) -> Match<'_> {
        let Some(spellings) = self.0.get(&name.to_lowercase()) else {
            return Match::None;
        };
        if spellings.contains(name) {
            return Match::Exact;
        }
        match spellings.first() {
            Some(only) if spellings.len() == 1 => Match::One(only),
            _ => Match::Several(spellings),
        }
    }
}

enum Match<'a> {
    None,
    Exact,
    One(&'a str),
    Several(&'a BTreeSet<String>),
}

/// What a statement names.
#[derive(Default)]
struct Names {
    /// Of every table and query with a name, under which it is registered.
    tables: HashMap<String, String>,
    /// Of every table of the history, without its schema.
    history: HashMap<String, String>,
    /// Names and aliases that stand before a dot, with the data set's columns where it is one.
    relations: HashMap<String, (String, Option<Spellings>)>,
    columns: Spellings,
    members: Spellings,
}

impl Names {
    /// The spelling of a table's own name, and the name of the input it would be.
    fn find_table(&self, name: &ObjectName) -> Option<(String, String)> {
        match name.0.as_slice() {
            [ObjectNamePart::Identifier(table)] => {
                let spelled = self.tables.get(&table.value.to_lowercase())?;
                Some((spelled.clone(), spelled.clone()))
            }
            [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(table)] => {
                let spelled = self.find_history(schema, table)?;
                Some((spelled.to_owned(), format!("{HISTORY}.{spelled}")))
            }
            _ => None,
        }
    }

    fn find_history(&self, schema: &Ident, table: &Ident) -> Option<&str> {
        let is_history = schema.value.eq_ignore_ascii_case(HISTORY);
        let table = self.history.get(&table.value.to_lowercase())?;
        is_history.then_some(table)
    }
}

/// The first pass: collects names and refuses tables that are not there.
struct Found<'a> {
    inputs: &'a [Input],
    known: &'a [String],
    names: Names,
}

impl<'a> Found<'a> {
    fn new(inputs: &'a [Input], known: &'a [String]) -> Self {
        let mut names = Names::default();
        for input in inputs {
            let (tables, name) = match history_name(&input.name) {
                Some(name) => (&mut names.history, name),
                None => (&mut names.tables, input.name.as_str()),
            };
            tables.insert(name.to_lowercase(), name.to_owned());
        }
        Self { inputs, known, names }
    }

    fn alias(&mut self, alias: &TableAlias, columns: Option<Spellings>) {
        for column in &alias.columns {
            self.names.columns.add(&column.name.value);
        }
        let spelled = alias.name.value.clone();
        self.names.relations.insert(spelled.to_lowercase(), (spelled, columns));
    }

    fn table(&mut self, name: &ObjectName, alias: Option<&TableAlias>) -> ControlFlow<Error> {
        let Some((spelled, full)) = self.names.find_table(name) else {
            return ControlFlow::Break(self.unknown(name));
        };
        let input = self.inputs.iter().find(|input| input.name == full);
        let columns = input.map(|input| self.columns_of(input));
        match alias {
            Some(alias) => self.alias(alias, columns),
            None => {
                self.names.relations.insert(spelled.to_lowercase(), (spelled, columns));
            }
        }
        ControlFlow::Continue(())
    }

    fn columns_of(&mut self, input: &Input) -> Spellings {
        let mut own = Spellings::default();
        for attribute in &input.schema.attributes {
            own.add(&attribute.name);
            self.names.columns.add(&attribute.name);
            add_members(&attribute.kind, &mut self.names.members);
        }
        own
    }

    fn unknown(&self, name: &ObjectName) -> Error {
        let written = name
            .0
            .iter()
            .map(|part| part.as_ident().map_or_else(|| part.to_string(), |i| i.value.clone()));
        let written = written.collect::<Vec<_>>().join(".");
        let error = unknown_dataset(&written, self.inputs, self.known);
        match name.0.first().and_then(ObjectNamePart::as_ident) {
            Some(ident) => at(error, ident),
            None => error,
        }
    }
}

fn add_members(kind: &Kind, members: &mut Spellings) {
    match kind {
        Kind::List(item) => add_members(item, members),
        Kind::Struct(fields) => {
            for field in fields {
                members.add(&field.name);
                add_members(&field.kind, members);
            }
        }
        _ => {}
    }
}

fn at(error: Error, ident: &Ident) -> Error {
    let start = ident.span.start;
    if start.line > 0 {
        error.at(start.line, Some(start.column))
    } else {
        error
    }
}

impl Visitor for Found<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let spelled = cte.alias.name.value.clone();
            // A query named like a data set takes over its spelling, so that both are written alike.
            self.names.tables.entry(spelled.to_lowercase()).or_insert(spelled);
            for column in &cte.alias.columns {
                self.names.columns.add(&column.name.value);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => self.names.columns.add(&alias.value),
                SelectItem::ExprWithAliases { aliases, .. } => {
                    aliases.iter().for_each(|alias| self.names.columns.add(&alias.value));
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => return self.table(name, alias.as_ref()),
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. }
            | TableFactor::Pivot { alias: Some(alias), .. }
            | TableFactor::Unpivot { alias: Some(alias), .. } => self.alias(alias, None),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        if let Expr::Lambda(LambdaFunction { params, .. }) = expr {
            match params {
                OneOrManyWithParens::One(param) => self.names.columns.add(&param.name.value),
                OneOrManyWithParens::Many(params) => {
                    params
                        .iter()
                        .for_each(|param| self.names.columns.add(&param.name.value));
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// The second pass: spells names as they are stored.
struct Spell {
    names: Names,
}

impl Spell {
    fn column(&self, ident: &mut Ident) -> Result<()> {
        spell(ident, &self.names.columns)
    }

    fn relation(&self, ident: &mut Ident) -> Option<Option<&Spellings>> {
        let (spelled, columns) = self.names.relations.get(&ident.value.to_lowercase())?;
        if ident.quote_style.is_some() && ident.value != *spelled {
            return None;
        }
        rename(ident, spelled);
        Some(columns.as_ref())
    }

    /// Spells the two parts of the name of a table of the history; whether they are one.
    fn history(&self, schema: &mut Ident, table: &mut Ident) -> bool {
        let Some(spelled) = self.names.find_history(schema, table) else {
            return false;
        };
        rename(schema, HISTORY);
        rename(table, spelled);
        true
    }

    /// `a.b`: a relation and its column, or a column and its member.
    fn compound(&self, parts: &mut [Ident]) -> Result<()> {
        if let [schema, table, _, ..] = parts
            && !self.names.relations.contains_key(HISTORY)
            && self.history(schema, table)
        {
            return self.compound(&mut parts[1..]);
        }
        let [first, rest @ ..] = parts else { return Ok(()) };
        match self.relation(first) {
            Some(columns) => {
                let Some((column, members)) = rest.split_first_mut() else {
                    return Ok(());
                };
                spell(column, columns.unwrap_or(&self.names.columns))?;
                members
                    .iter_mut()
                    .try_for_each(|member| spell(member, &self.names.members))
            }
            None => {
                self.column(first)?;
                rest.iter_mut()
                    .try_for_each(|member| spell(member, &self.names.members))
            }
        }
    }

    fn object(&self, name: &mut ObjectName) -> Result<()> {
        match name.0.as_mut_slice() {
            [ObjectNamePart::Identifier(ident)] => self.column(ident),
            _ => Ok(()),
        }
    }

    fn wildcard(&self, options: &mut WildcardAdditionalOptions) -> Result<()> {
        if let Some(exclude) = &mut options.opt_exclude {
            match exclude {
                ExcludeSelectItem::Single(name) => self.object(name)?,
                ExcludeSelectItem::Multiple(names) => names.iter_mut().try_for_each(|name| self.object(name))?,
            }
        }
        if let Some(except) = &mut options.opt_except {
            self.column(&mut except.first_element)?;
            except
                .additional_elements
                .iter_mut()
                .try_for_each(|ident| self.column(ident))?;
        }
        if let Some(replace) = &mut options.opt_replace {
            replace
                .items
                .iter_mut()
                .try_for_each(|item| self.column(&mut item.column_name))?;
        }
        Ok(())
    }

    fn before_wildcard(&self, name: &mut ObjectName) {
        match name.0.as_mut_slice() {
            [ObjectNamePart::Identifier(ident)] => {
                self.relation(ident);
            }
            [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(table)] => {
                self.history(schema, table);
            }
            _ => {}
        }
    }

    fn select(&self, select: &mut Select) -> Result<()> {
        // `FROM x` alone means all of it.
        if select.projection.is_empty() && matches!(select.flavor, SelectFlavor::FromFirstNoSelect) {
            select
                .projection
                .push(SelectItem::Wildcard(WildcardAdditionalOptions::default()));
            select.flavor = SelectFlavor::Standard;
        }
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) => self.wildcard(options)?,
                SelectItem::QualifiedWildcard(kind, options) => {
                    if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind {
                        self.before_wildcard(name);
                    }
                    self.wildcard(options)?;
                }
                _ => {}
            }
        }
        select.from.iter_mut().try_for_each(|from| self.joins(from))
    }

    fn joins(&self, from: &mut TableWithJoins) -> Result<()> {
        for join in &mut from.joins {
            if let Some(JoinConstraint::Using(names)) = constraint(&mut join.join_operator) {
                names.iter_mut().try_for_each(|name| self.object(name))?;
            }
        }
        Ok(())
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}

fn spell(ident: &mut Ident, spellings: &Spellings) -> Result<()> {
    if ident.quote_style.is_some() {
        return Ok(());
    }
    match spellings.find(&ident.value) {
        Match::None | Match::Exact => Ok(()),
        Match::One(spelled) => {
            let spelled = spelled.to_owned();
            rename(ident, &spelled);
            Ok(())
        }
        Match::Several(spellings) => {
            let quoted = spellings
                .iter()
                .map(|name| format!("`\"{name}\"`"))
                .collect::<Vec<_>>()
                .join(" or ");
            let message = format!("column `{}` may be several columns", ident.value);
            Err(at(
                Error::new(Code::UnknownColumn, message).hint(format!("write {quoted}")),
                ident,
            ))
        }
    }
}

fn rename(ident: &mut Ident, spelled: &str) {
    spelled.clone_into(&mut ident.value);
    ident.quote_style = Some('"');
}

fn flow(outcome: Result<()>) -> ControlFlow<Error> {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Spell {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            if let Some(spelled) = self.names.tables.get(&cte.alias.name.value.to_lowercase()) {
                rename(&mut cte.alias.name, spelled);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        flow(self.select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table { name, args: None, .. } = factor else {
            return ControlFlow::Continue(());
        };
        match name.0.as_mut_slice() {
            [ObjectNamePart::Identifier(ident)] => {
                if let Some(spelled) = self.names.tables.get(&ident.value.to_lowercase()) {
                    rename(ident, spelled);
                }
            }
            [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(table)] => {
                self.history(schema, table);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Identifier(ident) => flow(self.column(ident)),
            Expr::CompoundIdentifier(parts) => flow(self.compound(parts)),
            _ => ControlFlow::Continue(()),
        }
    }
}
