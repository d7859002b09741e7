//! Named semaphores shared by all plugins, for what the other side cannot do twice at once.
//!
//! ```
//! # use agentkube_sdk::{Result, permits};
//! # let world = agentkube_sdk::testing::World::new();
//! # let result: Result<()> = world.run(async {
//! let permit = permits::take(&["storage/fast", "template/9000"]).await?;
//! // … clone …
//! drop(permit);
//! # Ok(())
//! # });
//! # result.unwrap();
//! # assert!(world.permits_held().is_empty());
//! ```

use crate::{Result, backend};

/// Places taken in one or more semaphores; given back when it is dropped. When the call is killed the host gives them back.
#[must_use = "the places are given back when this is dropped"]
#[derive(Debug)]
pub struct Permit {
    number: u64,
}

/// Waits for one place in each of the named semaphores. Take all that is needed at once: the host takes them in sorted order,
/// so that nobody waits for each other.
pub async fn take(names: &[&str]) -> Result<Permit> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Ok(Permit { number: backend::permits::take(names).await? })
}

impl Drop for Permit {
    fn drop(&mut self) {
        backend::permits::release(self.number);
    }
}
