//! Who makes a call, and what they may do.

use super::{
    id::{AccountId, ResourceId, UserId},
    refusal::Refusal,
    timestamp::Timestamp,
};

/// The permission that lets a `user` create and edit automations.
pub const PERMISSION_AUTOMATIONS_WRITE: &str = "automations.write";

/// Who makes a call, from a verified token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A backend of the platform.
    Service {
        /// The accounts that it may act for.
        accounts: AccountScope,
    },
    /// An ingest identity of one account, which publishes its events and does nothing else.
    Publisher {
        /// The account.
        account: AccountId,
        /// The identity.
        identity: ResourceId,
    },
    /// An admin of one account.
    GlobalAdmin {
        /// The account.
        account: AccountId,
        /// The admin's own user.
        user: UserId,
    },
    /// A user of one account.
    User {
        /// The account.
        account: AccountId,
        /// The user.
        user: UserId,
        /// Whether the token carries `automations.write`.
        writes_automations: bool,
    },
}

/// When the token of a caller ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenEnd(pub Timestamp);

/// The accounts that a service's token lists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AccountScope {
    /// Every account.
    All,
    /// Only these.
    Only(Vec<AccountId>),
}

/// Whose share of what goes on at once a call takes: an account's people have one together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// A backend, by the accounts that it may act for.
    Service(AccountScope),
    /// The people of an account.
    Account(AccountId),
}

impl Caller {
    /// Whose share a call takes.
    pub fn party(&self) -> Party {
        match self {
            Caller::Service { accounts } => Party::Service(accounts.clone()),
            Caller::Publisher { account, .. } => Party::Service(AccountScope::Only(vec![account.clone()])),
            Caller::GlobalAdmin { account, .. } | Caller::User { account, .. } => Party::Account(account.clone()),
        }
    }

    /// Whether the caller may see anything of an account.
    pub fn belongs_to(&self, wanted: &AccountId) -> bool {
        match self {
            Caller::Service { accounts: AccountScope::All } => true,
            Caller::Service { accounts: AccountScope::Only(ids) } => ids.contains(wanted),
            Caller::Publisher { account, .. } | Caller::GlobalAdmin { account, .. } | Caller::User { account, .. } => {
                account == wanted
            }
        }
    }

    /// Refuses everyone who does not belong to the account, whether or not it exists.
    pub fn require_member(&self, account: &AccountId) -> Result<(), Refusal> {
        let fits = !matches!(self, Caller::Publisher { .. });
        self.require(account, fits, "an ingest identity publishes events, and does nothing else")
    }

    /// Only a service of the account.
    pub fn require_service(&self, account: &AccountId) -> Result<(), Refusal> {
        let is_service = matches!(self, Caller::Service { .. });
        self.require(account, is_service, "only a token of role service may do this")
    }

    /// A service of the account, or one of its ingest identities.
    pub fn require_publisher(&self, account: &AccountId) -> Result<(), Refusal> {
        let fits = matches!(self, Caller::Service { .. } | Caller::Publisher { .. });
        self.require(account, fits, "only a token of role service may do this")
    }

    /// A service or a global admin of the account.
    pub fn require_operator(&self, account: &AccountId) -> Result<(), Refusal> {
        let fits = matches!(self, Caller::Service { .. } | Caller::GlobalAdmin { .. });
        self.require(account, fits, "only a token of role service or global_admin may do this")
    }

    /// Only a global admin of the account.
    pub fn require_global_admin(&self, account: &AccountId) -> Result<(), Refusal> {
        let is_admin = matches!(self, Caller::GlobalAdmin { .. });
        self.require(account, is_admin, "only a token of role global_admin may do this")
    }

    /// A global admin or a user of the account. Answers who it is.
    pub fn require_user(&self, account: &AccountId) -> Result<&UserId, Refusal> {
        let user = match self {
            Caller::GlobalAdmin { user, .. } | Caller::User { user, .. } => Some(user),
            Caller::Service { .. } | Caller::Publisher { .. } => None,
        };
        self.require(account, user.is_some(), "only a token of role user or global_admin may do this")?;
        user.ok_or_else(|| Refusal::denied("not a user"))
    }

    /// A global admin, or a user whose token carries `automations.write`. Answers who it is.
    pub fn require_automation_writer(&self, account: &AccountId) -> Result<&UserId, Refusal> {
        let writer = match self {
            Caller::GlobalAdmin { user, .. } | Caller::User { user, writes_automations: true, .. } => Some(user),
            _ => None,
        };
        self.require(
            account,
            writer.is_some(),
            "only a global_admin, or a user whose token carries automations.write, may do this",
        )?;
        writer.ok_or_else(|| Refusal::denied("not a user"))
    }

    /// Whether credentials in URLs may be shown.
    pub fn sees_secrets(&self) -> bool {
        matches!(self, Caller::GlobalAdmin { .. })
    }

    /// The user whose view of the history is narrowed; none where all of the account may be read.
    pub fn history_of(&self) -> Option<&UserId> {
        match self {
            Caller::User { user, .. } => Some(user),
            _ => None,
        }
    }

    fn require(&self, account: &AccountId, role_fits: bool, message: &str) -> Result<(), Refusal> {
        if !role_fits {
            return Err(Refusal::denied(message));
        }
        if self.belongs_to(account) { Ok(()) } else { Err(Refusal::denied("this token is not for that account")) }
    }
}
