//! instant-acme as a small command: what a test asks of an ACME client, and nothing else.
//!
//!     clients issue|renew|revoke|key-change|replace-when-told [NAME…]
//!
//! All that it keeps is in the working directory: account.json, cert.pem, key.pem. The environment says where the server
//! is: ACME_DIRECTORY, ACME_CA_FILE, EAB_KID and EAB_KEY (base64url).

use std::{env, error::Error, fs, net::IpAddr, path::Path, time::Duration};

use base64::{prelude::BASE64_URL_SAFE_NO_PAD, Engine};
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ExternalAccountKey, Identifier, NewAccount, NewOrder,
    RetryPolicy, RevocationRequest,
};
use rustls_pki_types::{pem::PemObject, CertificateDer};

type Done<T = ()> = Result<T, Box<dyn Error>>;

const ACCOUNT: &str = "account.json";
const CERT: &str = "cert.pem";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let args: Vec<String> = env::args().skip(1).collect();
    let (command, names) = args.split_first().ok_or("usage: clients COMMAND [NAME…]")?;
    let mut account = open_account().await?;
    match command.as_str() {
        "issue" => issue(&account, names, None).await,
        "renew" => issue(&account, names, Some(&leaf()?)).await,
        "replace-when-told" => replace_when_told(&account, names).await,
        "revoke" => Ok(account.revoke(&RevocationRequest { certificate: &leaf()?, reason: None }).await?),
        "key-change" => {
            let credentials = account.update_key().await?;
            Ok(fs::write(ACCOUNT, serde_json::to_string(&credentials)?)?)
        }
        _ => Err(format!("unknown command: {command}").into()),
    }
}

async fn open_account() -> Done<Account> {
    let builder = Account::builder_with_root(env::var("ACME_CA_FILE")?)?;
    if Path::new(ACCOUNT).exists() {
        let credentials = serde_json::from_str(&fs::read_to_string(ACCOUNT)?)?;
        return Ok(builder.from_credentials(credentials).await?);
    }
    let binding = match env::var("EAB_KID") {
        Ok(kid) => Some(ExternalAccountKey::new(kid, &BASE64_URL_SAFE_NO_PAD.decode(env::var("EAB_KEY")?)?)),
        Err(_) => None,
    };
    let wanted = NewAccount {
        contact: &["mailto:admin@example.org"],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = builder.create(&wanted, env::var("ACME_DIRECTORY")?, binding.as_ref()).await?;
    fs::write(ACCOUNT, serde_json::to_string(&credentials)?)?;
    Ok(account)
}

async fn issue(account: &Account, names: &[String], replaced: Option<&CertificateDer<'_>>) -> Done {
    let identifiers: Vec<Identifier> = names
        .iter()
        .map(|name| match name.parse::<IpAddr>() {
            Ok(address) => Identifier::Ip(address),
            Err(_) => Identifier::Dns(name.clone()),
        })
        .collect();
    let mut wanted = NewOrder::new(&identifiers);
    if let Some(certificate) = replaced {
        wanted = wanted.replaces(CertificateIdentifier::try_from(certificate)?);
    }
    let mut order = account.new_order(&wanted).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        if authorization?.status != AuthorizationStatus::Valid {
            return Err("an authorization is not valid".into());
        }
    }
    let patience = RetryPolicy::new().timeout(Duration::from_secs(120));
    order.poll_ready(&patience).await?;
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&patience).await?;
    fs::write("key.pem", key)?;
    fs::write(CERT, chain)?;
    Ok(())
}

/// Asks for renewal information until it says that it is time.
async fn replace_when_told(account: &Account, names: &[String]) -> Done {
    let certificate = leaf()?;
    for _ in 0..600 {
        let (info, _) = account.renewal_info(&CertificateIdentifier::try_from(&certificate)?).await?;
        if std::time::SystemTime::from(info.suggested_window.start) <= std::time::SystemTime::now() {
            return issue(account, names, Some(&certificate)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the window never began".into())
}

fn leaf() -> Done<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_slice(&fs::read(CERT)?)?)
}
