//! A large JSON document read member by member, so that no more of it is in memory than one element of its lists.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// What is read of a value: of an object each member, of a list each element; others are passed over.
pub trait MemberReader {
    /// Reads the value of a member.
    ///
    /// # Errors
    /// Returns the error of the value.
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        let _ = name;
        object.next_value::<IgnoredAny>().map(drop)
    }

    /// Reads the next element; returns false after the last.
    ///
    /// # Errors
    /// Returns the error of the element.
    fn element<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        Ok(list.next_element::<IgnoredAny>()?.is_some())
    }
}

/// Reads a value with a [`MemberReader`].
pub struct With<'r, R>(pub &'r mut R);

impl<'de, R: MemberReader> DeserializeSeed<'de> for With<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, R: MemberReader> Visitor<'de> for With<'_, R> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(name) = object.next_key::<String>()? {
            self.0.member(&name, &mut object)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while self.0.element(&mut list)? {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Each element of a list, as a `T`, to a function that says whether more is wanted.
pub struct Each<'f, T, F> {
    take: &'f mut F,
    of: PhantomData<T>,
}

/// The error of a reader that nobody wants more of.
const STOPPED: &str = "nothing more of it is wanted";

impl<'f, T, F: FnMut(T) -> bool> Each<'f, T, F> {
    /// Gives each element to `take`.
    pub fn new(take: &'f mut F) -> Self {
        Self {
            take,
            of: PhantomData,
        }
    }
}

impl<T: for<'a> serde::Deserialize<'a>, F: FnMut(T) -> bool> MemberReader for Each<'_, T, F> {
    fn element<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let Some(element) = list.next_element::<T>()? else {
            return Ok(false);
        };
        match (self.take)(element) {
            true => Ok(true),
            false => Err(A::Error::custom(STOPPED)),
        }
    }
}

/// Reads a document to its end with a [`MemberReader`].
///
/// # Errors
/// Returns the `serde_json::Error`, which names line and column.
pub fn read<R: MemberReader>(text: impl std::io::Read, reader: &mut R) -> serde_json::Result<()> {
    let mut document = serde_json::Deserializer::from_reader(text);
    With(reader).deserialize(&mut document)?;
    document.end()
}

/// Reads a document until the function of an [`Each`] wants no more of it, or to its end.
///
/// # Errors
/// Returns the `serde_json::Error`, which names line and column.
pub fn read_wanted<R: MemberReader>(
    text: impl std::io::Read,
    reader: &mut R,
) -> serde_json::Result<()> {
    match read(text, reader) {
        Err(error) if is_stopped(&error) => Ok(()),
        read => read,
    }
}

fn is_stopped(error: &serde_json::Error) -> bool {
    error.to_string().starts_with(STOPPED)
}
