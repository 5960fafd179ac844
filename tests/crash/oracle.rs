//! What may be found after a crash: the state after some prefix of the steps, which covers those
//! that were promised to survive.
//!
//! A step whose call failed may be in or out, but only in its own place. Keyspaces are made through
//! the manifest and not the log, so one may be there, empty, before the prefix reaches its making.

use std::collections::{BTreeMap, BTreeSet};

use alluvium::Durability;

use crate::{Check, Random};

/// Which step wrote a value, and which operation of it.
pub type Tag = (u32, u32);

/// The keyspaces, and which step each key has its value from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub names: BTreeSet<String>,
    pub rows: BTreeMap<(String, Vec<u8>), Tag>,
}

/// One operation of a write.
#[derive(Clone, Debug)]
pub struct Op {
    pub keyspace: &'static str,
    pub key: Vec<u8>,
    /// `None` deletes.
    pub value_bytes: Option<usize>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Effect {
    Write(Vec<Op>, Durability),
    Create(&'static str),
    Drop(&'static str),
}

/// A step in commit order.
#[derive(Clone, Debug)]
pub struct Step {
    pub number: u32,
    pub effect: Effect,
    pub acknowledged: bool,
}

/// How much of the history must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Everything, and of what failed only what a failed sync may leave visible.
    Live,
    /// Every acknowledged step.
    Acknowledged,
    /// Every step that a sync, a flush or a close has covered.
    Durable,
}

/// The steps since a state that is certain.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub base: State,
    pub steps: Vec<Step>,
    /// How many of the steps were promised to survive power loss.
    pub durable: usize,
}

/// Most states that failed steps may fork into.
const FORKS_MAX: usize = 256;

impl State {
    fn apply(&mut self, step: &Step) {
        match &step.effect {
            Effect::Write(ops, _) => {
                for (index, op) in ops.iter().enumerate() {
                    let key = (op.keyspace.to_owned(), op.key.clone());
                    if op.value_bytes.is_some() {
                        self.rows.insert(key, (step.number, index as u32));
                    } else {
                        self.rows.remove(&key);
                    }
                }
            }
            Effect::Create(name) => {
                self.names.insert((*name).to_owned());
            }
            Effect::Drop(name) => {
                self.names.remove(*name);
                self.rows.retain(|(keyspace, _), _| keyspace != name);
            }
        }
    }
}

impl History {
    /// Finds the prefix that `found` is the state of, and makes it the history. After a power loss
    /// nothing of it is in doubt any more; after a process death it still has to become durable.
    pub fn settle(&mut self, found: &State, demand: Demand) -> Check<()> {
        let (kept, included) = self.explain(found, demand)?;
        if demand == Demand::Durable {
            *self = Self { base: found.clone(), ..Self::default() };
            return Ok(());
        }
        let durable = included[..self.durable].iter().filter(|&&included| included).count();
        self.steps.truncate(kept);
        let mut included = included.into_iter();
        self.steps.retain(|_| included.next().unwrap_or(false));
        self.steps.iter_mut().for_each(|step| step.acknowledged = true);
        self.durable = durable;
        Ok(())
    }

    /// The length of the prefix that leads to `found`, and which of its steps took effect.
    pub fn explain(&self, found: &State, demand: Demand) -> Check<(usize, Vec<bool>)> {
        let last_acknowledged = self.steps.iter().rposition(|step| step.acknowledged);
        let required = match demand {
            Demand::Live => self.steps.len(),
            Demand::Acknowledged => last_acknowledged.map_or(0, |last| last + 1),
            Demand::Durable => self.durable,
        };
        let mut forks = vec![(self.base.clone(), Vec::new())];
        let mut longest = None;
        for kept in 0..=self.steps.len() {
            if kept >= required
                && let Some((_, included)) =
                    forks.iter().find(|(state, _)| self.matches(state, kept, found))
            {
                longest = Some((kept, included.clone()));
            }
            let Some(step) = self.steps.get(kept) else { break };
            forks = fork(forks, step, demand);
            assert!(forks.len() <= FORKS_MAX, "too many failed steps to tell them apart");
        }
        longest.ok_or_else(|| self.complaint(found, demand, required, &forks))
    }

    /// Whether `found` is `state`, or has keyspaces besides whose making comes later.
    fn matches(&self, state: &State, kept: usize, found: &State) -> bool {
        let later = &self.steps[kept..];
        let made = |name: &String, certain: bool| {
            let of = |step: &&Step| match step.effect {
                Effect::Create(made) => made == name,
                Effect::Drop(gone) => gone == name,
                Effect::Write(..) => false,
            };
            let mut of_name = later.iter().filter(of);
            match of_name.next_back() {
                Some(last) if matches!(last.effect, Effect::Create(_)) => {
                    !certain || last.acknowledged
                }
                Some(_) => !certain && of_name.next_back().is_some(),
                None => false,
            }
        };
        let must = self.steps[kept..].iter().filter_map(|step| match step.effect {
            Effect::Create(name) => Some(name.to_owned()),
            _ => None,
        });
        found.rows == state.rows
            && found.names.is_superset(&state.names)
            && found.names.iter().all(|name| state.names.contains(name) || made(name, false))
            && must.filter(|name| made(name, true)).all(|name| found.names.contains(&name))
    }

    fn complaint(
        &self,
        found: &State,
        demand: Demand,
        required: usize,
        forks: &[(State, Vec<bool>)],
    ) -> String {
        let full = &forks[0].0;
        let differs: Vec<_> = full
            .rows
            .keys()
            .chain(found.rows.keys())
            .filter(|key| full.rows.get(*key) != found.rows.get(*key))
            .map(|key| {
                let name = &key.0;
                let bytes = key.1.escape_ascii();
                let want = full.rows.get(key);
                let got = found.rows.get(key);
                format!("{name}/{bytes}: last written by {want:?}, found {got:?}")
            })
            .collect();
        let steps: Vec<_> = self
            .steps
            .iter()
            .enumerate()
            .map(|(at, step)| {
                let mark = if at < self.durable { "durable" } else { "" };
                let what = match &step.effect {
                    Effect::Write(ops, durability) => format!("{durability:?} {}", ops.len()),
                    other => format!("{other:?}"),
                };
                format!("{} {what} acknowledged={} {mark}", step.number, step.acknowledged)
            })
            .collect();
        format!(
            "no prefix of at least {required} of {} steps ({demand:?}) explains what was found\n\
             against the whole history:\n  {}\nkeyspaces {:?}\nsteps:\n  {}",
            self.steps.len(),
            differs.join("\n  "),
            found.names,
            steps.join("\n  "),
        )
    }
}

fn fork(
    mut forks: Vec<(State, Vec<bool>)>,
    step: &Step,
    demand: Demand,
) -> Vec<(State, Vec<bool>)> {
    // A reader may see a failed write only if its sync is what failed.
    let visible_though_failed = match step.effect {
        Effect::Write(_, durability) => durability == Durability::Sync,
        Effect::Create(_) | Effect::Drop(_) => true,
    };
    let maybe = !step.acknowledged && (demand != Demand::Live || visible_though_failed);
    let mut more = Vec::new();
    for (state, included) in &mut forks {
        if maybe {
            let mut without = included.clone();
            without.push(false);
            more.push((state.clone(), without));
        }
        let with = maybe || step.acknowledged;
        if with {
            state.apply(step);
        }
        included.push(with);
    }
    more.retain(|(state, _)| forks.iter().all(|(other, _)| other != state));
    forks.extend(more);
    forks
}

/// The bytes of a value, by which it can be told from every other.
pub fn value(tag: Tag, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 12);
    for word in [tag.0, tag.1, len as u32] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    let mut random = Random::new(u64::from(tag.0) << 32 | u64::from(tag.1));
    let filler = std::iter::repeat_with(|| random.next() as u8);
    bytes.extend(filler.take(len));
    bytes
}

/// The write that a value is of. Fails if a byte of it is wrong.
pub fn tag_of(bytes: &[u8]) -> Check<Tag> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let wrong = || format!("a value that nobody wrote: {}", bytes.escape_ascii());
    let (Some(step), Some(op), Some(len)) = (word(0), word(4), word(8)) else {
        return Err(wrong());
    };
    if bytes.len() != len as usize + 12 || value((step, op), len as usize) != bytes {
        return Err(wrong());
    }
    Ok((step, op))
}
