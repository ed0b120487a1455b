//! Tokens that are made with the local key.

use clap::{Args, ValueEnum};

use super::CliError;
use crate::{
    app::{key_files, token_rules},
    clock,
    config::{DatabaseArgs, KeyArgs},
    grpc::{Claims, mint},
    store::Location,
};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Role {
    /// A backend: publishes events, manages accounts.
    Service,
    /// An admin of one account.
    GlobalAdmin,
    /// A user of one account.
    User,
}

impl Role {
    /// The word in a token.
    pub fn word(self) -> &'static str {
        match self {
            Role::Service => "service",
            Role::GlobalAdmin => "global_admin",
            Role::User => "user",
        }
    }
}

/// What a user may do beyond reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Permission {
    /// Create and edit automations.
    #[value(name = "automations.write")]
    AutomationsWrite,
}

impl Permission {
    /// The word in a token.
    pub fn word(self) -> &'static str {
        match self {
            Permission::AutomationsWrite => crate::domain::caller::PERMISSION_AUTOMATIONS_WRITE,
        }
    }
}

/// The token to make.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// Where the data is; the local key is beside it.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The keys of the installation.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// The account; for a service several, or `*` for every one.
    #[arg(long, required = true, value_delimiter = ',')]
    pub account: Vec<String>,
    /// The user; required for the roles `user` and `global_admin`.
    #[arg(long, required_if_eq_any = [("role", "user"), ("role", "global_admin")])]
    pub user: Option<String>,
    /// Who calls.
    #[arg(long, value_enum)]
    pub role: Role,
    /// What a `user` may do beyond reading.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub permissions: Vec<Permission>,
    /// How long the token is good for, in seconds.
    #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(i64).range(1..=31_536_000))]
    pub ttl_seconds: i64,
}

/// Makes a token and prints it.
pub fn run(args: &TokenArgs) -> Result<(), CliError> {
    println!("{}", token(args)?);
    Ok(())
}

/// Makes a token.
pub fn token(args: &TokenArgs) -> Result<String, CliError> {
    let location = Location::parse(&args.database.database).map_err(CliError)?;
    let secret = key_files(&args.keys, &location).signing_key().map_err(CliError)?;
    let claims = Claims {
        role: args.role.word().to_owned(),
        accounts: args.account.clone(),
        user_id: args.user.clone(),
        permissions: args.permissions.iter().map(|one| one.word().to_owned()).collect(),
    };
    let now = clock::now().seconds();
    mint(&secret, &claims, &token_rules(&args.keys), now, args.ttl_seconds).map_err(CliError)
}
