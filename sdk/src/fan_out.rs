//! Many requests at once within one call.

use std::future::Future;

use futures::{StreamExt, TryStreamExt, stream};

/// Runs the futures, at most `limit` at a time (at least one), and gives their results in the order of the futures.
///
/// ```
/// # let world = agentkube_sdk::testing::World::new();
/// use agentkube_sdk::{clock, fan_out};
///
/// let squares = world.run(fan_out(8, (0..100u64).map(|n| async move {
///     clock::sleep(50).await;
///     n * n
/// })));
/// assert_eq!(squares.last(), Some(&9801));
/// # assert_eq!(world.now() - agentkube_sdk::testing::EPOCH, 13 * 50);
/// ```
pub async fn fan_out<T>(limit: usize, futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    stream::iter(futures).buffered(limit.max(1)).collect().await
}

/// Like [`fan_out`], and ends with the first error; what still runs then is dropped.
pub async fn try_fan_out<T, E>(
    limit: usize,
    futures: impl IntoIterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    stream::iter(futures).buffered(limit.max(1)).try_collect().await
}
