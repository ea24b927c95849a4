//! Hooks and signing secrets as rows. What is sent through them is in `outbox`.

use assay_core::{Hook, HookFormat, HookId, SigningSecret, State, Timestamp, UserName};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::desk::Desk;
use super::failure::Fallible;
use super::outbox;
use super::rows::{json, parsed, text};
use crate::notices::{DISABLED, MAX_HOOKS, REMOVED};
use crate::refusals;

const COLUMNS: &str = "id, owner, url, format, secrets, states, analysis, description, disabled, created_at";

pub(super) fn get(connection: &Connection, id: &HookId) -> Fallible<Hook> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM hook WHERE id = ?1"))?;
    let mut rows = statement.query([id.as_str()])?;
    match rows.next()? {
        Some(row) => hook_of(row),
        None => Err(refusals::unknown_hook(id).into()),
    }
}

/// Ids begin with the time they were made, so this is oldest first.
pub(super) fn list(connection: &Connection, owner: Option<&UserName>) -> Fallible<Vec<Hook>> {
    let sql = format!("SELECT {COLUMNS} FROM hook WHERE ?1 IS NULL OR owner = ?1 ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([owner.map(UserName::as_str)])?;
    let mut hooks = Vec::new();
    while let Some(row) = rows.next()? {
        hooks.push(hook_of(row)?);
    }
    Ok(hooks)
}

fn hook_of(row: &Row<'_>) -> Fallible<Hook> {
    let states: Vec<State> = serde_json::from_str(text(row, 5)?)?;
    Ok(Hook {
        id: parsed(text(row, 0)?)?,
        owner: parsed(text(row, 1)?)?,
        url: row.get(2)?,
        format: parsed::<HookFormat>(text(row, 3)?)?,
        secrets: serde_json::from_str(text(row, 4)?)?,
        states,
        analysis: row.get(6)?,
        description: row.get(7)?,
        disabled: row.get(8)?,
        created_at: Timestamp(row.get(9)?),
    })
}

/// Stores a hook in place of `seen`; nothing when there is another one now.
pub(super) fn put(desk: &mut Desk<'_>, hook: Hook, seen: Option<&Hook>) -> Fallible<bool> {
    if desk.outgoing.find_hook(&hook.id) != seen {
        return Ok(false);
    }
    let of_owner = |known: &&Hook| known.owner == hook.owner;
    if seen.is_none() && desk.outgoing.hooks().iter().filter(of_owner).count() >= MAX_HOOKS {
        return Err(refusals::too_many_hooks().into());
    }
    store(desk, hook)?;
    Ok(true)
}

fn store(desk: &mut Desk<'_>, hook: Hook) -> Fallible<()> {
    write(desk.connection, &hook)?;
    if hook.disabled.is_some() {
        outbox::give_up(desk, &hook.id, DISABLED)?;
    }
    desk.outgoing.put_hook(hook);
    Ok(())
}

pub(super) fn write(connection: &Connection, hook: &Hook) -> Fallible<()> {
    let Hook {
        id,
        owner,
        url,
        format,
        secrets,
        states,
        analysis,
        description,
        disabled,
        created_at,
    } = hook;
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO hook ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        ))?
        .execute(params![
            id.as_str(),
            owner.as_str(),
            url,
            format.as_str(),
            json(secrets)?,
            json(states)?,
            analysis,
            description,
            disabled,
            created_at.0,
        ])?;
    Ok(())
}

/// Disables a hook that is still enabled, for a reason that its owner is shown.
pub(super) fn disable(desk: &mut Desk<'_>, id: &HookId, reason: String) -> Fallible<()> {
    let Some(mut hook) = desk.outgoing.find_hook(id).cloned() else {
        return Ok(());
    };
    if hook.disabled.is_none() {
        tracing::warn!(hook.id = %id, reason, "disabled a hook");
        hook.disabled = Some(reason);
        store(desk, hook)?;
    }
    Ok(())
}

pub(super) fn remove(desk: &mut Desk<'_>, id: &HookId) -> Fallible<()> {
    let removed = desk
        .connection
        .prepare_cached("DELETE FROM hook WHERE id = ?1")?
        .execute([id.as_str()])?;
    if removed == 0 {
        return Err(refusals::unknown_hook(id).into());
    }
    outbox::give_up(desk, id, REMOVED)?;
    desk.outgoing.remove_hook(id);
    Ok(())
}

pub(super) fn signing_secrets(connection: &Connection, user: &UserName) -> Fallible<Vec<SigningSecret>> {
    let found: Option<String> = connection
        .prepare_cached("SELECT secrets FROM signing_secret WHERE user = ?1")?
        .query_row([user.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found
        .map(|found| serde_json::from_str(&found))
        .transpose()?
        .unwrap_or_default())
}

/// The secrets of a user, who is given `fresh` when there is none.
pub(super) fn first_secret(desk: &Desk<'_>, user: &UserName, fresh: SigningSecret) -> Fallible<Vec<SigningSecret>> {
    let known = signing_secrets(desk.connection, user)?;
    if known.is_empty() {
        return replace_secrets(desk, user, vec![fresh]);
    }
    Ok(known)
}

pub(super) fn rotate_secret(desk: &Desk<'_>, user: &UserName, fresh: SigningSecret) -> Fallible<Vec<SigningSecret>> {
    let known = signing_secrets(desk.connection, user)?;
    let secrets = std::iter::once(fresh).chain(known.into_iter().take(1)).collect();
    replace_secrets(desk, user, secrets)
}

fn replace_secrets(desk: &Desk<'_>, user: &UserName, secrets: Vec<SigningSecret>) -> Fallible<Vec<SigningSecret>> {
    write_secrets(desk.connection, user, &secrets)?;
    Ok(secrets)
}

pub(super) fn write_secrets(connection: &Connection, user: &UserName, secrets: &[SigningSecret]) -> Fallible<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO signing_secret (user, secrets) VALUES (?1, ?2)")?
        .execute(params![user.as_str(), json(&secrets)?])?;
    Ok(())
}
