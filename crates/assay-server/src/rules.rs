//! The rules of data sets in the mode `strict`: read from requests, and records checked against them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use assay_core::{Code, Dataset, DatasetName, DeclaredTypes, Error, Result, Rules, Version};
use assay_rules::Checker;
use serde_json::{Map, Value};

use crate::app::App;

/// Checkers that are kept.
const MOST: usize = 256;

/// Checkers by folded name and the version that set the rules: a number that is never given twice.
#[derive(Default)]
pub(crate) struct Checkers(Mutex<HashMap<(String, Version), Arc<Checker>>>);

impl Checkers {
    fn get(&self, dataset: &Dataset, rules: &Rules) -> Result<Arc<Checker>> {
        let place = (dataset.name.folded(), dataset.ruled);
        // Whole entries are inserted and removed, so what a panic left behind is sound.
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&place)
            .cloned();
        if let Some(checker) = known {
            return Ok(checker);
        }
        let checker = Arc::new(Checker::new(rules)?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(place, Arc::clone(&checker));
        Ok(checker)
    }
}

/// What a request says of rules.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) mode: Option<String>,
    pub(crate) types: Option<Map<String, Value>>,
    pub(crate) required: Option<Vec<String>>,
    pub(crate) schema: Option<Value>,
}

impl Said {
    /// The rules that are meant, `Some(None)` for none, and `None` where nothing is said. `before` has those that hold,
    /// `key` is the key attribute.
    ///
    /// # Errors
    /// `InvalidParameter` with the JSON pointers.
    pub(crate) fn rules(self, before: Option<&Rules>, key: Option<&str>) -> Result<Option<Option<Rules>>> {
        let Self {
            mode,
            types,
            required,
            schema,
        } = self;
        let said = [
            ("types", types.is_some()),
            ("required", required.is_some()),
            ("schema", schema.is_some()),
        ];
        let first = said.iter().find(|(_, is_said)| *is_said).map(|(name, _)| *name);
        let fault = |message: String, hint: &str, place: &str| {
            Err(Error::new(Code::InvalidParameter, message).hint(hint).pointing(place))
        };
        match (mode.as_deref(), first) {
            (None | Some("flexible"), None) => return Ok(mode.map(|_| None)),
            (Some("flexible"), Some(name)) => {
                let message = format!("`{name}` is a rule, and the mode `flexible` has none");
                return fault(
                    message,
                    "leave it out, or say `\"mode\": \"strict\"`",
                    &format!("/{name}"),
                );
            }
            (None, Some(name)) if before.is_none() => {
                let message = format!("`{name}` is a rule of the mode `strict`");
                return fault(message, "say `\"mode\": \"strict\"` as well", &format!("/{name}"));
            }
            (Some("strict"), None) if before.is_some() => return Ok(None),
            (Some("strict"), None) => {
                let message = "the mode `strict` has no rules".to_owned();
                return fault(
                    message,
                    "give `types`, e.g. {\"zip\": \"text\"}, or a JSON Schema as `schema`",
                    "/mode",
                );
            }
            (None | Some("strict"), Some(_)) => {}
            (Some(other), _) => {
                let hint = assay_core::names::suggest(other, ["flexible", "strict"]);
                return fault(format!("`mode` cannot be `{}`", shown(other)), &hint, "/mode");
            }
        }
        match (types, schema) {
            (Some(_), Some(_)) => fault(
                "`types` and `schema` are both given".to_owned(),
                "give one of them",
                "/schema",
            ),
            (Some(types), None) => {
                let types = texts(&types)?;
                let declared = DeclaredTypes::parse(types, required.as_deref().unwrap_or_default(), key)?;
                Ok(Some(Some(Rules::Types(declared))))
            }
            (None, Some(_)) if required.is_some() => fault(
                "`required` belongs to `types`".to_owned(),
                "a JSON Schema has a `required` of its own",
                "/required",
            ),
            (None, Some(schema)) => {
                let rules = Rules::Schema(schema);
                Checker::new(&rules)?;
                Ok(Some(Some(rules)))
            }
            (None, None) => fault(
                "`required` is given without `types`".to_owned(),
                "give all `types` with it",
                "/required",
            ),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn texts(types: &Map<String, Value>) -> Result<Vec<(&str, &str)>> {
    let text = |(name, kind): (&'_ String, &'_ Value)| match kind {
        Value::String(_) => Ok(()),
        _ => Err(
            Error::new(Code::InvalidParameter, format!("the type of `{name}` is no text"))
                .hint("e.g. {\"zip\": \"text\", \"n\": \"int64\"}")
                .pointing(format!("/types/{}", name.replace('~', "~0").replace('/', "~1"))),
        ),
    };
    types.iter().try_for_each(text)?;
    let texts = types
        .iter()
        .map(|(name, kind)| (name.as_str(), kind.as_str().unwrap_or_default()));
    Ok(texts.collect())
}

/// A data set that records are written to, and its rules made ready.
pub(crate) struct Ruled {
    pub(crate) dataset: Dataset,
    checker: Option<Arc<Checker>>,
}

impl Ruled {
    /// # Errors
    /// `UnknownDataset` with the nearest names.
    pub(crate) async fn of(app: &App, name: &DatasetName) -> Result<Self> {
        let dataset = match app.catalog.find(name).await? {
            Some(dataset) => dataset,
            None => {
                // Its error names what there is.
                app.catalog.snapshot(name, None).await?;
                return Err(Error::internal("finding the data set"));
            }
        };
        let checker = match &dataset.rules {
            Some(rules) => Some(app.checkers.get(&dataset, rules)?),
            None => None,
        };
        Ok(Self { dataset, checker })
    }

    /// The key attribute.
    ///
    /// # Errors
    /// `InvalidRequest` when the records have none.
    pub(crate) async fn key(&self, app: &App) -> Result<String> {
        match &self.dataset.key {
            Some(key) => Ok(key.clone()),
            // Its error says what to do.
            None => crate::routes::record::key_attribute(app, &self.dataset.name).await,
        }
    }

    /// Looks at the JSON texts of records, without holding up the thread; the fault of each that breaks the rules.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) async fn check(&self, texts: Vec<String>) -> Result<Vec<Option<Error>>> {
        let Some(checker) = &self.checker else {
            return Ok(vec![None; texts.len()]);
        };
        let checker = Arc::clone(checker);
        let look = move || texts.iter().map(|text| checker.check(text).err()).collect();
        tokio::task::spawn_blocking(look).await.map_err(|error| {
            tracing::error!(%error, "checking records panicked");
            Error::internal("checking the records")
        })
    }

    /// As [`Self::check`], of one.
    ///
    /// # Errors
    /// `SchemaViolation` with all faults and their JSON pointers.
    pub(crate) async fn check_one(&self, text: &str) -> Result<()> {
        if self.checker.is_none() {
            return Ok(());
        }
        match self.check(vec![text.to_owned()]).await?.pop().flatten() {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }
}
