//! A list in segments that copy on write: a write after a snapshot copies the pointers to the segments and the one at
//! that end.

use super::value::Blob;
use crate::kv::varint;
use std::collections::VecDeque;
use std::sync::Arc;

/// Elements in a segment, at most.
const SEGMENT: usize = 128;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Left,
    Right,
}

/// No segment is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    segments: VecDeque<Arc<VecDeque<Blob>>>,
    len: usize,
    bytes: usize,
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for List {}

impl List {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What the elements take in a snapshot chunk.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Blob> {
        self.segments.iter().flat_map(|segment| segment.iter())
    }

    /// `count` elements from place `start` (0 is the left end). Skips by segments.
    pub(crate) fn range(&self, start: usize, count: usize) -> impl Iterator<Item = &Blob> {
        let mut skip = start;
        let mut first = 0;
        while let Some(segment) = self.segments.get(first).filter(|segment| segment.len() <= skip) {
            skip -= segment.len();
            first += 1;
        }
        self.segments.range(first..).flat_map(|segment| segment.iter()).skip(skip).take(count)
    }

    pub(crate) fn push(&mut self, end: End, element: &[u8]) {
        self.len += 1;
        self.bytes += varint::bytes_len(element);
        let segment = match end {
            End::Left => self.segments.front_mut(),
            End::Right => self.segments.back_mut(),
        };
        match (segment.filter(|segment| segment.len() < SEGMENT), end) {
            (Some(segment), End::Left) => Arc::make_mut(segment).push_front(element.into()),
            (Some(segment), End::Right) => Arc::make_mut(segment).push_back(element.into()),
            (None, End::Left) => self.segments.push_front(Arc::new(VecDeque::from([element.into()]))),
            (None, End::Right) => self.segments.push_back(Arc::new(VecDeque::from([element.into()]))),
        }
    }

    pub(crate) fn pop(&mut self, end: End) -> Option<Blob> {
        let (element, emptied) = match end {
            End::Left => {
                let segment = Arc::make_mut(self.segments.front_mut()?);
                (segment.pop_front()?, segment.is_empty())
            }
            End::Right => {
                let segment = Arc::make_mut(self.segments.back_mut()?);
                (segment.pop_back()?, segment.is_empty())
            }
        };
        match end {
            End::Left if emptied => drop(self.segments.pop_front()),
            End::Right if emptied => drop(self.segments.pop_back()),
            _ => {}
        }
        self.len -= 1;
        self.bytes -= varint::bytes_len(&element);
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_deque(steps in prop::collection::vec((0u8..5, any::<bool>()), 1..2000), start in 0usize..900) {
            let mut list = List::default();
            let mut model = VecDeque::new();
            for (number, (action, left)) in steps.into_iter().enumerate() {
                let element = number.to_string().into_bytes();
                match (action, left) {
                    (0, true) => prop_assert_eq!(list.pop(End::Left).map(|e| e.to_vec()), model.pop_front()),
                    (0, false) => prop_assert_eq!(list.pop(End::Right).map(|e| e.to_vec()), model.pop_back()),
                    (_, true) => {
                        list.push(End::Left, &element);
                        model.push_front(element);
                    }
                    (_, false) => {
                        list.push(End::Right, &element);
                        model.push_back(element);
                    }
                }
            }
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(list.bytes(), model.iter().map(|e| varint::bytes_len(e)).sum::<usize>());
            prop_assert!(list.iter().map(|e| e.to_vec()).eq(model.iter().cloned()));
            prop_assert!(list.range(start, 7).map(|e| e.to_vec()).eq(model.iter().skip(start).take(7).cloned()));
        }
    }
}
