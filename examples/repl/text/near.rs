//! What was meant by a name that nothing has.

/// The name of `names` that `typed` most likely stands for. A third of the letters wrong is still
/// the same word; more is another one.
pub(crate) fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, near) = names.map(|name| (distance(typed, name), name)).min()?;
    (distance <= (typed.chars().count() / 3).max(1)).then_some(near)
}

/// Letters to add, leave out, replace or swap with their neighbour to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    // Nobody means a name by that; its table would only cost memory.
    if a.len() > 64 {
        return a.len();
    }
    strsim::osa_distance(a, b)
}
