//! Writing keys in the place of what lies under their names.

use assay_core::{KeyWrite, KeyWriter, Result, WrittenValue};
use async_trait::async_trait;
use redis::{Pipeline, ServerError, Value};

use super::connection::Connection;
use super::stores::{self, Stores};

/// Fields that one command writes.
const MOST_FIELDS: usize = 1_000;

pub(super) struct Writer {
    connection: Connection,
    stores: Stores,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            stores: Stores::default(),
        }
    }
}

#[async_trait]
impl KeyWriter for Writer {
    async fn write(&mut self, keys: Vec<KeyWrite>) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = keys.iter().map(|write| write.name.as_str()).collect();
        self.stores.learn(&mut self.connection, &names).await?;
        if let Some(name) = names.into_iter().find(|name| self.stores.have(name.as_bytes())) {
            return Err(stores::refused(name));
        }
        let mut writes = Pipeline::with_capacity(2 * keys.len() + 2);
        // In one step: nobody reads a hash whose old fields are gone and whose new ones are not there. The two commands
        // are our own because the client's transactions stumble over a server that forbids them.
        writes.ignore_errors().cmd("MULTI");
        for KeyWrite { name, value } in &keys {
            match value {
                WrittenValue::String(text) => writes.cmd("SET").arg(name).arg(text),
                WrittenValue::Hash(fields) => {
                    writes.cmd("DEL").arg(name);
                    // Servers take a million arguments in one command, or fewer.
                    for fields in fields.chunks(MOST_FIELDS) {
                        writes.cmd("HSET").arg(name).arg(fields);
                    }
                    &mut writes
                }
            };
        }
        writes.cmd("EXEC");
        let answers: Vec<Value> = self.connection.ask(&writes).await?;
        match answers.into_iter().find_map(refusal) {
            Some(error) => Err(self.connection.refused(error)),
            None => Ok(()),
        }
    }
}

/// The first error in an answer: of a command, or within those of the whole step.
fn refusal(answer: Value) -> Option<ServerError> {
    match answer {
        Value::ServerError(error) => Some(error),
        Value::Array(answers) => answers.into_iter().find_map(refusal),
        _ => None,
    }
}
