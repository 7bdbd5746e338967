//! Who comes in: signing up and in, sessions, and how often somebody may try.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kit::client::{Client, network_of};
use kit::clock;
use media::WallTime;
use uuid::Uuid;
use wire::{Handle, UserId};

use crate::config::AccountsConfig;
use crate::error::ApiError;
use crate::password;
use crate::scope::Scopes;
use crate::secrets::{SecretKind, ServerKey, random_text};
use crate::store::sessions::Session;
use crate::store::users::{NewUser, Role, User};
use crate::store::{Store, Transaction, handles, recoveries, sessions, tokens, users};
use crate::unfit::Unfit;

/// A session ends when it was not used for this long…
const IDLE_MAX: Duration = Duration::from_hours(30 * 24);
/// …and in any case this long after signing in.
pub const SESSION_MAX: Duration = Duration::from_hours(180 * 24);
/// A use of a session or token is noted at most this often.
const NOTED_EVERY: Duration = Duration::from_mins(1);
/// Sessions a person may have; signing in once more ends the one used longest ago.
const SESSIONS_MAX: i64 = 50;
/// How long a recovery link works.
const RECOVERY_MAX: Duration = Duration::from_hours(1);
/// How long a link that an operator hands over works.
const ISSUED_RECOVERY_MAX: Duration = Duration::from_hours(48);
/// Recovery links that go to one mail address.
const MAILS_PER_HOUR: NonZeroU32 = NonZeroU32::new(3).expect("three is not zero");
/// A password that nobody knows has so many characters.
const NO_PASSWORD_CHARS: usize = 40;
/// Longest secret looked at. Ours have 35 characters.
const SECRET_BYTES_MAX: usize = 128;
/// As much of a browser's name for itself as is kept.
const AGENT_CHARS_MAX: usize = 200;

/// Handles that nobody can take: who bore one could pass for the server's own people.
const RESERVED: [&str; 14] = [
    "admin",
    "administrator",
    "api",
    "barrage",
    "help",
    "mod",
    "moderator",
    "official",
    "operator",
    "root",
    "staff",
    "studio",
    "support",
    "system",
];

/// Somebody whom the server knows, and by what.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub user: User,
    /// By what.
    pub means: Means,
}

/// By what somebody is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// They signed in.
    Session(Uuid),
    /// A program of theirs showed a token.
    Token(Scopes),
}

impl fmt::Display for Caller {
    /// For the log: who, and whether a program of theirs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.means {
            Means::Session(_) => write!(f, "{}", self.user.handle),
            Means::Token(_) => write!(f, "{} (by token)", self.user.handle),
        }
    }
}

/// What makes an account.
#[derive(Debug)]
pub struct SignUp<'a> {
    /// Its handle.
    pub handle: &'a Handle,
    /// Its name for people.
    pub name: &'a str,
    /// Where a recovery link is sent, normalized.
    pub email: Option<&'a str>,
    /// Its password.
    pub password: String,
}

/// Lets people in.
#[derive(Debug)]
pub struct Door {
    store: Store,
    server_key: ServerKey,
    config: AccountsConfig,
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    by_account: DefaultKeyedRateLimiter<Handle>,
    /// Links by mail: a stranger must not fill somebody's mailbox.
    by_mailbox: DefaultKeyedRateLimiter<String>,
}

impl Door {
    /// Over the people in `store`.
    pub fn new(store: Store, server_key: ServerKey, config: AccountsConfig) -> Self {
        let by_address = Quota::per_minute(config.attempts_per_minute_per_address);
        let by_account = Quota::per_minute(config.attempts_per_minute_per_account);
        Self {
            store,
            server_key,
            config,
            by_address: RateLimiter::keyed(by_address),
            by_account: RateLimiter::keyed(by_account),
            by_mailbox: RateLimiter::keyed(Quota::per_hour(MAILS_PER_HOUR)),
        }
    }

    /// What can be set of it.
    pub const fn config(&self) -> &AccountsConfig {
        &self.config
    }

    /// Counts an attempt of an address at something that costs us or could be guessed.
    ///
    /// # Errors
    /// When there were too many.
    pub fn attempt(&self, client: &Client) -> Result<(), ApiError> {
        self.by_address
            .check_key(&network_of(client.addr.ip()))
            .map_err(|until| {
                ApiError::TooManyAttempts(whole_seconds(
                    until.wait_time_from(DefaultClock::default().now()),
                ))
            })
    }

    /// Whether another recovery link may go to this mail address now.
    pub fn may_mail(&self, email: &str) -> bool {
        self.by_mailbox.check_key(&email.to_owned()).is_ok()
    }

    /// Forgets addresses and accounts that were left alone since.
    pub fn forget_idle(&self) {
        self.by_address.retain_recent();
        self.by_address.shrink_to_fit();
        self.by_account.retain_recent();
        self.by_account.shrink_to_fit();
        self.by_mailbox.retain_recent();
        self.by_mailbox.shrink_to_fit();
    }

    /// Makes an account, and signs it in.
    ///
    /// # Errors
    /// When signing up is closed, something about the account is not acceptable, or the database
    /// fails.
    pub async fn sign_up(
        &self,
        new: SignUp<'_>,
        client: &Client,
        agent: &str,
    ) -> Result<(User, String), ApiError> {
        if !self.config.sign_up {
            return Err(ApiError::SignUpClosed);
        }
        self.attempt(client)?;
        if is_reserved(new.handle) {
            return Err(ApiError::HandleTaken(new.handle.to_string()));
        }
        let about = [new.handle.as_str(), new.name, new.email.unwrap_or_default()];
        let hash = new_password("password", new.password, &about).await?;
        let now = clock::now();
        let mut transaction = self.store.begin().await?;
        let user = NewUser {
            id: UserId::new(),
            handle: new.handle,
            name: new.name,
            email: new.email,
            role: Role::Viewer,
            password_hash: &hash,
        };
        add_user(&mut transaction, &user, now).await?;
        let token = self
            .open_session(&mut transaction, user.id, client, agent, now)
            .await?;
        transaction.commit().await?;
        tracing::info!(user = %new.handle, client.addr = %client.addr, "signed up");
        let user = self.store.user_by_id(user.id).await?;
        Ok((user.ok_or(ApiError::NotSignedIn)?, token))
    }

    /// Makes an account that nobody can sign in to before a recovery link gave it a password.
    ///
    /// # Errors
    /// When the handle is taken, or the database fails.
    pub async fn make_account(&self, handle: &Handle, role: Role) -> Result<User, ApiError> {
        if is_reserved(handle) {
            return Err(ApiError::HandleTaken(handle.to_string()));
        }
        let hash = new_password("password", random_text(NO_PASSWORD_CHARS), &[]).await?;
        let mut transaction = self.store.begin().await?;
        let user = NewUser {
            id: UserId::new(),
            handle,
            name: "",
            email: None,
            role,
            password_hash: &hash,
        };
        add_user(&mut transaction, &user, clock::now()).await?;
        transaction.commit().await?;
        let made = self.store.user_by_id(user.id).await?;
        made.ok_or(ApiError::NotSignedIn)
    }

    /// Signs somebody in; gives what their cookie shall say.
    ///
    /// # Errors
    /// When the handle or password is wrong, too many were tried, or the database fails.
    pub async fn sign_in(
        &self,
        handle: &str,
        password: String,
        client: &Client,
        agent: &str,
    ) -> Result<(User, String), ApiError> {
        self.attempt(client)?;
        // A text that is no handle takes the same way, so that it takes the same time.
        let handle: Option<Handle> = handle.trim().to_lowercase().parse().ok();
        let now = clock::now();
        let known = match &handle {
            Some(handle) => self.store.password_hash(handle).await?,
            None => None,
        };
        let (id, hash) = known.unzip();
        if let Some(handle) = &handle {
            self.attempt_on(handle, id, client, now).await?;
        }
        let right = check_password(password, hash).await?;
        let Some(id) = id.filter(|_| right) else {
            tracing::info!(client.addr = %client.addr, "a wrong handle or password");
            metrics::counter!("barrage_sign_ins_total", "result" => "wrong").increment(1);
            return Err(ApiError::WrongCredentials);
        };
        let user = self.store.user_by_id(id).await?;
        let user = user.ok_or(ApiError::WrongCredentials)?;
        if let Some(reason) = user.disabled {
            return Err(ApiError::AccountDisabled(reason));
        }
        let mut transaction = self.store.begin().await?;
        let token = self
            .open_session(&mut transaction, id, client, agent, now)
            .await?;
        sessions::keep_newest(&mut transaction, id, SESSIONS_MAX).await?;
        transaction.commit().await?;
        metrics::counter!("barrage_sign_ins_total", "result" => "right").increment(1);
        tracing::info!(user = %user.handle, client.addr = %client.addr, "signed in");
        Ok((user, token))
    }

    /// Counts an attempt on an account. Whoever is at an address where the account is signed in is
    /// not slowed down by others who guess.
    async fn attempt_on(
        &self,
        handle: &Handle,
        id: Option<UserId>,
        client: &Client,
        now: WallTime,
    ) -> Result<(), ApiError> {
        let Err(until) = self.by_account.check_key(handle) else {
            return Ok(());
        };
        let address = client.addr.ip().to_string();
        if let Some(id) = id
            && self.store.has_session_at(id, &address, now).await?
        {
            return Ok(());
        }
        Err(ApiError::TooManyAttempts(whole_seconds(
            until.wait_time_from(DefaultClock::default().now()),
        )))
    }

    async fn open_session(
        &self,
        transaction: &mut Transaction,
        owner: UserId,
        client: &Client,
        agent: &str,
        now: WallTime,
    ) -> sqlx::Result<String> {
        let token = SecretKind::Session.generate();
        let session = Session {
            id: Uuid::now_v7(),
            owner,
            agent: agent.chars().take(AGENT_CHARS_MAX).collect(),
            address: client.addr.ip().to_string(),
            created_at: now,
            last_seen_at: now,
            expires_at: now + IDLE_MAX,
        };
        let lookup = self.server_key.lookup(SecretKind::Session, &token);
        sessions::insert(transaction, &session, &lookup).await?;
        Ok(token)
    }

    /// Who has a session with this token, if anybody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_session(
        &self,
        token: &str,
        client: &Client,
    ) -> Result<Option<Caller>, ApiError> {
        if token.len() > SECRET_BYTES_MAX {
            return Ok(None);
        }
        let now = clock::now();
        let lookup = self.server_key.lookup(SecretKind::Session, token);
        let Some(session) = self.store.session(&lookup, now).await? else {
            return Ok(None);
        };
        let address = client.addr.ip().to_string();
        if session.last_seen_at + NOTED_EVERY <= now || session.address != address {
            let end = (now + IDLE_MAX).min(session.created_at + SESSION_MAX);
            self.store
                .session_used(session.id, &address, now, end)
                .await?;
        }
        self.caller(session.owner, Means::Session(session.id)).await
    }

    /// For whom a program with this API token acts, if for anybody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn by_token(&self, token: &str) -> Result<Option<Caller>, ApiError> {
        if token.len() > SECRET_BYTES_MAX {
            return Ok(None);
        }
        let now = clock::now();
        let lookup = self.server_key.lookup(SecretKind::ApiToken, token);
        let Some(token) = self.store.token(&lookup, now).await? else {
            return Ok(None);
        };
        if token.last_used_at.is_none_or(|at| at + NOTED_EVERY <= now) {
            self.store.token_used(token.id, now).await?;
        }
        self.caller(token.owner, Means::Token(Scopes::parse(&token.scopes)))
            .await
    }

    async fn caller(&self, owner: UserId, means: Means) -> Result<Option<Caller>, ApiError> {
        let user = self.store.user_by_id(owner).await?;
        Ok(user
            .filter(|user| user.disabled.is_none())
            .map(|user| Caller { user, means }))
    }

    /// Gives somebody who knows the current password another; every other session ends.
    ///
    /// # Errors
    /// When the current one is wrong, the other not good enough, or the database fails.
    pub async fn change_password(
        &self,
        user: &User,
        session: Uuid,
        current: String,
        new: String,
        client: &Client,
    ) -> Result<(), ApiError> {
        self.confirm(user, current, client).await?;
        let about = [user.handle.as_str(), &user.name];
        let hash = new_password("new", new, &about).await?;
        let mut transaction = self.store.begin().await?;
        users::set_password(&mut transaction, user.id, &hash).await?;
        sessions::end_all(&mut transaction, user.id, Some(session)).await?;
        recoveries::end_all(&mut transaction, user.id).await?;
        transaction.commit().await?;
        tracing::info!(user = %user.handle, "changed their password");
        Ok(())
    }

    /// Makes sure that whoever has the session also has the password.
    ///
    /// # Errors
    /// When it is wrong, was tried too often, or the database fails.
    pub async fn confirm(
        &self,
        user: &User,
        current: String,
        client: &Client,
    ) -> Result<(), ApiError> {
        self.attempt(client)?;
        let hash = self.store.password_hash(&user.handle).await?;
        if check_password(current, hash.map(|(_, hash)| hash)).await? {
            Ok(())
        } else {
            Err(ApiError::invalid("current", Unfit::WrongPassword))
        }
    }

    /// Makes a link for somebody who lost their password; gives its secret.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn issue_recovery(
        &self,
        owner: UserId,
        by_operator: bool,
    ) -> Result<(String, WallTime), ApiError> {
        let (secret, now) = (SecretKind::Recovery.generate(), clock::now());
        let max = if by_operator {
            ISSUED_RECOVERY_MAX
        } else {
            RECOVERY_MAX
        };
        let end = now + max;
        let lookup = self.server_key.lookup(SecretKind::Recovery, &secret);
        let mut transaction = self.store.begin().await?;
        recoveries::insert(&mut transaction, owner, &lookup, now, end).await?;
        transaction.commit().await?;
        Ok((secret, end))
    }

    /// Sets a password by a link; every session and token of the account ends. Gives who it is.
    ///
    /// # Errors
    /// When the link does not work, the password is not good enough, or the database fails.
    pub async fn recover(
        &self,
        secret: &str,
        new: String,
        client: &Client,
    ) -> Result<User, ApiError> {
        self.attempt(client)?;
        if secret.len() > SECRET_BYTES_MAX {
            return Err(ApiError::LinkExpired);
        }
        // Before the link is taken, so that a weak password does not use it up.
        let hash = new_password("password", new, &[]).await?;
        let lookup = self.server_key.lookup(SecretKind::Recovery, secret);
        let mut transaction = self.store.begin().await?;
        let owner = recoveries::take(&mut transaction, &lookup, clock::now()).await?;
        let owner = owner.ok_or(ApiError::LinkExpired)?;
        users::set_password(&mut transaction, owner, &hash).await?;
        sessions::end_all(&mut transaction, owner, None).await?;
        tokens::end_all(&mut transaction, owner).await?;
        transaction.commit().await?;
        let user = self.store.user_by_id(owner).await?;
        let user = user.ok_or(ApiError::LinkExpired)?;
        tracing::info!(user = %user.handle, "set their password by a link");
        Ok(user)
    }
}

/// Whether nobody can take this handle.
pub(crate) fn is_reserved(handle: &Handle) -> bool {
    RESERVED.contains(&handle.as_str())
}

/// Adds a person whose handle must be free.
pub(crate) async fn add_user(
    transaction: &mut Transaction,
    user: &NewUser<'_>,
    now: WallTime,
) -> Result<(), ApiError> {
    if handles::is_taken(transaction, user.handle, None, now).await? {
        return Err(ApiError::HandleTaken(user.handle.to_string()));
    }
    users::insert(transaction, user, now).await?;
    Ok(())
}

async fn new_password(
    field: &'static str,
    password: String,
    about: &[&str],
) -> Result<String, ApiError> {
    password::check(&password, about).map_err(|weakness| ApiError::invalid(field, weakness))?;
    let _place = password::queue().map_err(|_| ApiError::Busy)?;
    password::hash(password).await.map_err(ApiError::Internal)
}

async fn check_password(password: String, hash: Option<String>) -> Result<bool, ApiError> {
    if password.len() > password::MAX_BYTES {
        return Ok(false);
    }
    let _place = password::queue().map_err(|_| ApiError::Busy)?;
    password::verify(password, hash)
        .await
        .map_err(ApiError::Internal)
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + 1)
}
