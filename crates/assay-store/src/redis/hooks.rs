//! Hooks, one JSON text each, and the secrets of users. What is sent through them is in `outbox`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use assay_core::{DeliveryId, Hook, HookFormat, HookId, Hooks, Result, SigningSecret, State, Timestamp, UserName};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::desk::Desk;
use super::failure::Fallible;
use super::outbox::give_up;
use super::reads::parsed;
use super::{Inner, RedisStore};
use crate::notices::{DISABLED, MAX_HOOKS, REMOVED};
use crate::refusals;

/// Owners whose hooks are read at once.
const OWNERS_AT_ONCE: usize = 16;
/// Owners whose hooks are remembered at most.
const MAX_KNOWN: usize = 10_000;

#[async_trait]
impl Hooks for RedisStore {
    async fn put(&self, hook: Hook, seen: Option<&Hook>) -> Result<bool> {
        let hook = &hook;
        let stored = self
            .run("store a hook", |mut desk| async move {
                let done = put(&mut desk, hook, seen).await;
                (desk, done)
            })
            .await?;
        if stored && hook.disabled.is_some() {
            self.give_up_rest(&hook.owner, &hook.id, DISABLED).await?;
        }
        Ok(stored)
    }

    async fn get(&self, id: &HookId) -> Result<Hook> {
        let found = self.inner.hook(id).await;
        found
            .map(|(_, hook)| hook)
            .map_err(|fault| fault.into_error("read a hook"))
    }

    async fn list(&self, owner: Option<&UserName>) -> Result<Vec<Hook>> {
        let listed = match owner {
            Some(owner) => self.inner.hooks_of(owner).await,
            None => self.inner.all_hooks().await,
        };
        listed.map_err(|fault| fault.into_error("list hooks"))
    }

    async fn remove(&self, id: &HookId) -> Result<()> {
        let owner = self
            .run("remove a hook", |mut desk| async move {
                let done = remove(&mut desk, id).await;
                (desk, done)
            })
            .await?;
        self.give_up_rest(&owner, id, REMOVED).await
    }

    async fn signing_secrets(&self, user: &UserName, fresh: &SigningSecret) -> Result<Vec<SigningSecret>> {
        self.run("read a secret", |mut desk| async move {
            let done = first_secret(&mut desk, user, fresh).await;
            (desk, done)
        })
        .await
    }

    async fn rotate_secret(&self, user: &UserName, fresh: &SigningSecret) -> Result<Vec<SigningSecret>> {
        self.run("store a secret", |mut desk| async move {
            let done = rotate_secret(&mut desk, user, fresh).await;
            (desk, done)
        })
        .await
    }
}

/// Stores a hook in place of `seen`; nothing when there is another one now.
async fn put(desk: &mut Desk, hook: &Hook, seen: Option<&Hook>) -> Fallible<bool> {
    let known = desk.store.find_hook(&hook.owner, &hook.id).await?;
    if known.as_ref().map(|(_, known)| known) != seen {
        return Ok(false);
    }
    let keys = &desk.store.keys;
    match &known {
        Some((text, _)) => desk.step.field_is(&keys.hooks(&hook.owner), hook.id.as_str(), text),
        None => {
            desk.step.field_absent(&keys.hook_owners(), hook.id.as_str());
            desk.step
                .hset(&keys.hook_owners(), hook.id.as_str(), hook.owner.as_str());
            check_room(desk, &hook.owner).await?;
        }
    }
    store(desk, hook)?;
    if hook.disabled.is_some() {
        give_up(desk, &hook.id, DISABLED, None).await?;
    }
    Ok(true)
}

async fn check_room(desk: &mut Desk, owner: &UserName) -> Fallible<()> {
    let key = desk.store.keys.hooks(owner);
    if desk.store.count_fields(&key).await? < MAX_HOOKS {
        desk.step.fields_below(&key, MAX_HOOKS);
        return Ok(());
    }
    Err(refusals::too_many_hooks().into())
}

/// Stores a hook that was moved here.
pub(super) fn add(desk: &mut Desk, hook: &Hook) -> Fallible<()> {
    let owners = desk.store.keys.hook_owners();
    desk.step.hset(&owners, hook.id.as_str(), hook.owner.as_str());
    store(desk, hook)
}

fn store(desk: &mut Desk, hook: &Hook) -> Fallible<()> {
    let mut text = Vec::new();
    Stored::serialize(hook, &mut serde_json::Serializer::new(&mut text))?;
    desk.step
        .hset(&desk.store.keys.hooks(&hook.owner), hook.id.as_str(), text);
    Ok(())
}

/// Disables a hook that is still enabled, for a reason that its owner is shown, by what became of `delivery`; whether it
/// did. `text` is what is stored of it.
pub(super) async fn disable(desk: &mut Desk, text: &str, reason: &str, delivery: DeliveryId) -> Fallible<bool> {
    let mut hook = hook_of(text)?;
    if hook.disabled.is_some() {
        return Ok(false);
    }
    tracing::warn!(hook.id = %hook.id, reason, "disabled a hook");
    hook.disabled = Some(reason.to_owned());
    store(desk, &hook)?;
    give_up(desk, &hook.id, DISABLED, Some(delivery)).await?;
    Ok(true)
}

/// Gives the owner.
async fn remove(desk: &mut Desk, id: &HookId) -> Fallible<UserName> {
    let (text, hook) = desk.store.hook(id).await?;
    let keys = &desk.store.keys;
    desk.step.field_is(&keys.hooks(&hook.owner), id.as_str(), text);
    desk.step.hdel(&keys.hooks(&hook.owner), &[id.as_str()]);
    desk.step.hdel(&keys.hook_owners(), &[id.as_str()]);
    give_up(desk, id, REMOVED, None).await?;
    Ok(hook.owner)
}

/// The secrets of a user, who is given `fresh` when there is none.
async fn first_secret(desk: &mut Desk, user: &UserName, fresh: &SigningSecret) -> Fallible<Vec<SigningSecret>> {
    match known_secrets(desk, user).await? {
        Some((_, secrets)) => Ok(secrets),
        None => write_secrets(desk, user, None, vec![fresh.clone()]),
    }
}

async fn rotate_secret(desk: &mut Desk, user: &UserName, fresh: &SigningSecret) -> Fallible<Vec<SigningSecret>> {
    let (text, known) = known_secrets(desk, user).await?.unzip();
    let older = known.into_iter().flatten().take(1);
    let secrets = std::iter::once(fresh.clone()).chain(older).collect();
    write_secrets(desk, user, text, secrets)
}

async fn known_secrets(desk: &Desk, user: &UserName) -> Fallible<Option<(String, Vec<SigningSecret>)>> {
    let key = desk.store.keys.signing_secrets();
    let text = desk.store.field(&key, user.as_str()).await?;
    text.map(|text| Ok((serde_json::from_str(&text)?, text)))
        .transpose()
        .map(|known| known.map(|(secrets, text)| (text, secrets)))
}

fn write_secrets(
    desk: &mut Desk,
    user: &UserName,
    known: Option<String>,
    secrets: Vec<SigningSecret>,
) -> Fallible<Vec<SigningSecret>> {
    let key = desk.store.keys.signing_secrets();
    match known {
        Some(text) => desk.step.field_is(&key, user.as_str(), text),
        None => desk.step.field_absent(&key, user.as_str()),
    }
    desk.step.hset(&key, user.as_str(), serde_json::to_vec(&secrets)?);
    Ok(secrets)
}

impl Inner {
    /// A hook and the text it was read from.
    pub(super) async fn find_hook(&self, owner: &UserName, id: &HookId) -> Fallible<Option<(String, Hook)>> {
        let text = self.field(&self.keys.hooks(owner), id.as_str()).await?;
        text.map(|text| hook_of(&text).map(|hook| (text, hook))).transpose()
    }

    /// As `find_hook`, of whoever it is.
    pub(super) async fn hook(&self, id: &HookId) -> Fallible<(String, Hook)> {
        let owner = self.field(&self.keys.hook_owners(), id.as_str()).await?;
        let found = match owner {
            Some(owner) => self.find_hook(&parsed(&owner)?, id).await?,
            None => None,
        };
        Ok(found.ok_or_else(|| refusals::unknown_hook(id))?)
    }

    /// Ids begin with the time they were made, so this is oldest first.
    async fn read_hooks(&self, owner: &UserName) -> Fallible<Vec<(String, Hook)>> {
        let texts = self.values(&self.keys.hooks(owner)).await?;
        let hooks = texts.into_iter().map(|text| hook_of(&text).map(|hook| (text, hook)));
        let mut hooks = hooks.collect::<Fallible<Vec<_>>>()?;
        hooks.sort_unstable_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        Ok(hooks)
    }

    async fn hooks_of(&self, owner: &UserName) -> Fallible<Vec<Hook>> {
        let hooks = self.read_hooks(owner).await?;
        Ok(hooks.into_iter().map(|(_, hook)| hook).collect())
    }

    pub(super) async fn all_hooks(&self) -> Fallible<Vec<Hook>> {
        let mut owners = self.values(&self.keys.hook_owners()).await?;
        owners.sort_unstable();
        owners.dedup();
        let owners = owners.iter().map(|owner| parsed(owner)).collect::<Fallible<Vec<_>>>()?;
        let mut hooks = Vec::new();
        for owners in owners.chunks(OWNERS_AT_ONCE) {
            let read = owners.iter().map(|owner| self.hooks_of(owner));
            hooks.extend(futures::future::try_join_all(read).await?.into_iter().flatten());
        }
        hooks.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(hooks)
    }
}

/// Hooks that this process has read, by owner, with the texts they were read from. The end of a job asks for them at
/// every turn and shows them as a condition, so what is out of date harms nobody: the step is not made, and they are read
/// anew.
#[derive(Debug, Default)]
pub(super) struct KnownHooks(Mutex<HashMap<UserName, OwnedHooks>>);

/// All hooks of one user, oldest first.
type OwnedHooks = Arc<[(String, Hook)]>;

impl KnownHooks {
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn get(&self, owner: &UserName) -> Option<OwnedHooks> {
        self.lock().get(owner).cloned()
    }

    fn put(&self, owner: &UserName, hooks: OwnedHooks) {
        let mut known = self.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(owner.clone(), hooks);
    }

    /// Whole entries are inserted and removed, so what a panic left behind is sound.
    fn lock(&self) -> MutexGuard<'_, HashMap<UserName, OwnedHooks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hooks of a user, which stay as they are until the step is made, so that none is overlooked.
pub(super) async fn relied_on(desk: &mut Desk, owner: &UserName) -> Fallible<OwnedHooks> {
    let key = desk.store.keys.hooks(owner);
    let hooks = match desk.store.known_hooks.get(owner) {
        Some(hooks) => hooks,
        None => {
            let hooks: OwnedHooks = desk.store.read_hooks(owner).await?.into();
            desk.store.known_hooks.put(owner, Arc::clone(&hooks));
            hooks
        }
    };
    desk.step.fields_are(&key, hooks.len());
    for (text, hook) in hooks.iter() {
        desk.step.field_is(&key, hook.id.as_str(), text);
    }
    Ok(hooks)
}

/// A hook as it is stored: JSON, with times in milliseconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Hook")]
pub(crate) struct Stored {
    id: HookId,
    owner: UserName,
    url: String,
    format: HookFormat,
    secrets: Vec<SigningSecret>,
    states: Vec<State>,
    analysis: Option<String>,
    description: String,
    disabled: Option<String>,
    created_at: Timestamp,
}

pub(super) fn hook_of(text: &str) -> Fallible<Hook> {
    Ok(Stored::deserialize(&mut serde_json::Deserializer::from_str(text))?)
}
