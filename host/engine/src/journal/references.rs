//! References and the locators behind them. The reference is derived from the locator and its holder, so the same locator
//! gives the same reference, after a restart too.

use agentkube_contract::{Holder, Locator, Reference, References};
use async_trait::async_trait;
use data_encoding::BASE32_NOPAD;
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::{Journal, scope, sql};
use crate::Error;

fn name(plugin: &str, source: &str, service: &str, locator: &str) -> String {
    let digest = Sha256::digest([plugin, source, service, locator].join("\0"));
    let text = BASE32_NOPAD.encode(&digest).to_ascii_lowercase();
    format!("ref-{}", text.get(..26).unwrap_or(&text))
}

#[async_trait]
impl References for Journal {
    async fn put(&self, holder: &Holder, locator: &Locator) -> agentkube_contract::Result<Reference> {
        let (source, service) = scope(holder.service.as_ref());
        let (plugin, at) = (holder.plugin.clone(), self.now());
        let locator = serde_json::to_string(locator).map_err(Error::from)?;
        let reference = name(&plugin, &source, &service, &locator);
        let known = reference.clone();
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO refs (reference, plugin, source, service, locator, created_ms) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (reference) DO NOTHING",
                )?
                .execute(params![known, plugin, source, service, locator, sql(at)])?;
            Ok(())
        })
        .await?;
        Ok(Reference(reference))
    }

    async fn get(
        &self,
        holder: &Holder,
        reference: &Reference,
    ) -> agentkube_contract::Result<Option<(String, Locator)>> {
        let (source, service) = scope(holder.service.as_ref());
        let found: Option<(String, String)> = self.read(|connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT plugin, locator FROM refs WHERE reference = ?1 \
                     AND ((source = ?2 AND service = ?3) OR (source = '' AND service = ''))",
                )?
                .query_row(params![reference.0, source, service], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?)
        })?;
        match found {
            None => Ok(None),
            Some((plugin, locator)) => Ok(Some((plugin, serde_json::from_str(&locator).map_err(Error::from)?))),
        }
    }
}
