//! Killing a call at every point where it waits.

use super::World;
use crate::{Fault, Result};

/// When a call is killed, relative to the host call it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the host did anything.
    Before,
    /// After the host did it and wrote down the answer.
    After,
    /// After the effect, with the host: a request's answer was not written down. Like `After` for everything but requests.
    Lost,
}

/// How often a call is run again after a fault that waiting mends.
const RETRIES: usize = 5;

/// Shows that a call can be killed anywhere and run again: once per host call and moment, it makes a new world, runs the call
/// until it is killed there, kills the second run after each of its host calls too, runs it to the end, and lets `judge` look. Faults
/// that waiting mends are waited out as the engine would do. Gives the number of host calls of an undisturbed run, retries
/// included.
///
/// `scene` makes a world and whatever belongs to it (the other side, the provider). Judge by the other side's state, not by the
/// result alone: one machine, not two.
///
/// # Panics
///
/// When `judge` does; the message before says at which kills.
pub fn kill_at_every_host_call<S, T>(
    scene: impl Fn() -> (World, S),
    call: impl AsyncFn(&World, &S) -> Result<T>,
    judge: impl Fn(&World, &S, Result<T>),
) -> usize {
    // How many of the kills happened, and whether the last of them hit a request whose answer could also have been lost.
    let trial = |kills: &[(usize, Moment)]| -> (usize, bool) {
        let (world, scene) = scene();
        let story = Story { kills };
        let (mut happened, mut lossy) = (0, false);
        let mut left = kills.iter();
        world.kill_next(left.next());
        let mut retries = 0;
        let result = loop {
            match world.run_or_kill(call(&world, &scene)) {
                None => {
                    happened += 1;
                    lossy = world.with(|state| state.lossy);
                    world.kill_next(left.next());
                }
                Some(Err(fault)) if can_be_retried(&fault) && retries < RETRIES => {
                    retries += 1;
                    world.pass(fault.retry_after_ms.unwrap_or(1_000));
                }
                Some(result) => break result,
            }
        };
        world.kill_next(None);
        judge(&world, &scene, result);
        drop(story);
        (happened, lossy)
    };
    trial(&[]);
    for number in 1.. {
        if trial(&[(number, Moment::Before)]).0 == 0 {
            return number - 1;
        }
        let (_, lossy) = trial(&[(number, Moment::After)]);
        let lost = if lossy { &[Moment::After, Moment::Lost][..] } else { &[Moment::After] };
        for first in lost {
            for again in 1.. {
                match trial(&[(number, *first), (again, Moment::After)]) {
                    (2, true) => drop(trial(&[(number, *first), (again, Moment::Lost)])),
                    (2, false) => {}
                    _ => break,
                }
            }
        }
    }
    0
}

impl World {
    /// Arms the next kill; host calls are counted from here, also over several runs.
    fn kill_next(&self, kill: Option<&(usize, Moment)>) {
        self.with(|state| {
            state.kill = kill.copied();
            state.host_calls = 0;
            state.lossy = false;
        });
    }
}

/// What a planner does with a doubt: it runs the call again, which finds out.
fn can_be_retried(fault: &Fault) -> bool {
    fault.is_transient() || fault.outcome == crate::Outcome::Unknown
}

/// Says at which kills a judge gave up.
struct Story<'a> {
    kills: &'a [(usize, Moment)],
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("killed at (host call, moment): {:?}", self.kills);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use serde_json::json;

    use super::*;
    use crate::testing::answer;
    use crate::{http, ledger};

    fn scene() -> (World, Rc<Cell<u32>>) {
        let (world, made) = (World::new(), Rc::new(Cell::new(0)));
        let count = made.clone();
        world.http("cloud", move |request| {
            if request.method() == "POST" {
                count.set(count.get() + 1);
            }
            answer(200, json!(count.get()))
        });
        (world, made)
    }

    async fn careful(_: &World, _: &Rc<Cell<u32>>) -> Result<()> {
        let item = ledger::intend("thing", "a", "").await?;
        let exists = !item.is_fresh() && http::get("cloud", "/things").send().await?.json::<u32>()? > 0;
        if !exists {
            http::post("cloud", "/things").entry(item.entry).send().await?;
        }
        item.created("a").await
    }

    async fn careless(_: &World, _: &Rc<Cell<u32>>) -> Result<()> {
        let item = ledger::intend("thing", "a", "").await?;
        http::post("cloud", "/things").entry(item.entry).send().await?;
        item.created("a").await
    }

    #[test]
    fn who_looks_first_makes_one() {
        let calls = kill_at_every_host_call(scene, careful, |_, made, result| {
            result.unwrap();
            assert_eq!(made.get(), 1);
        });
        assert_eq!(calls, 3);
    }

    #[test]
    #[should_panic(expected = "made twice")]
    fn who_does_not_is_caught() {
        kill_at_every_host_call(scene, careless, |_, made, _| assert_eq!(made.get(), 1, "made twice"));
    }
}
