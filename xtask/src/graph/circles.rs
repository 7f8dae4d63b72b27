//! Circles in a graph.

use std::collections::{BTreeMap, VecDeque};

use super::arrows::{Arrow, Graph};

/// The arrows of a shortest circle, each with the file that it leaves.
pub(super) fn shortest(graph: &Graph) -> Option<Vec<(String, Arrow)>> {
    graph.keys().filter_map(|file| through(graph, file)).min_by_key(Vec::len)
}

/// A shortest circle through a file, breadth first.
fn through(graph: &Graph, start: &str) -> Option<Vec<(String, Arrow)>> {
    let mut reached: BTreeMap<&str, (&str, &Arrow)> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(file) = open.pop_front() {
        for arrow in graph.get(file).into_iter().flatten() {
            if reached.contains_key(arrow.to.as_str()) {
                continue;
            }
            reached.insert(&arrow.to, (file, arrow));
            open.push_back(&arrow.to);
        }
    }
    let mut circle = Vec::new();
    let mut at = start;
    while circle.is_empty() || at != start {
        let (from, arrow) = reached.get(at)?;
        circle.push(((*from).to_owned(), (*arrow).clone()));
        at = from;
    }
    circle.reverse();
    Some(circle)
}
