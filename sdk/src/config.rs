//! The plugin's own configuration. [`export!`](crate::export) parses it and hands it to `new`; nobody else needs this.

use serde::de::DeserializeOwned;

use crate::{Fault, Result, backend};

/// The configuration as JSON text.
pub fn text() -> String {
    backend::config::get()
}

/// The configuration, parsed. Fails with `BAD_CONFIG`, which names the key.
pub fn get<T: DeserializeOwned>() -> Result<T> {
    serde_json::from_str(&text()).map_err(|error| {
        Fault::invalid("BAD_CONFIG", format!("the plugin's configuration does not fit: {error}"))
            .scope(crate::Scope::Provider)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::World;

    #[test]
    fn a_configuration_that_does_not_fit_names_the_key() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Config {
            image: String,
        }
        World::new().config(json!({ "imgae": "x" }));
        let fault = super::get::<Config>().unwrap_err();
        assert_eq!(fault.code, "BAD_CONFIG");
        assert!(fault.message.contains("imgae"), "{}", fault.message);
    }
}
