//! Canonical bytes of a row or an event: what is hashed, and what snapshots and journals store.
//!
//! Little-endian, fixed-width, fields in declaration order, lists led by their length, enums by their
//! number. There is no implementation for `usize`, `f32` or `f64`, so a row that holds one does not
//! compile.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use arrayvec::ArrayVec;

/// Where the bytes of an image go: a list that grows, or a slice to be filled.
pub trait Sink {
    /// Appends an array.
    fn array<const N: usize>(&mut self, bytes: [u8; N]);
    /// Appends a slice.
    fn slice(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.extend_from_slice(&bytes);
    }

    fn slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A slice that is filled from its front. It never grows, so that the place of the next byte stays in
/// a register, and where its length is known to the compiler nothing is checked: most of what a digest
/// costs is the writing of the row.
pub(crate) struct Fill<'a> {
    left: &'a mut [u8],
    full: bool,
}

impl<'a> Fill<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { left: bytes, full: false }
    }

    /// How many bytes of the slice are left; `None` if something did not fit.
    pub(crate) fn left(&self) -> Option<usize> {
        (!self.full).then_some(self.left.len())
    }
}

impl Sink for Fill<'_> {
    #[inline(always)]
    fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        match core::mem::take(&mut self.left).split_first_chunk_mut() {
            Some((head, rest)) => {
                *head = bytes;
                self.left = rest;
            }
            None => self.full = true,
        }
    }

    #[inline(always)]
    fn slice(&mut self, bytes: &[u8]) {
        match core::mem::take(&mut self.left).split_at_mut_checked(bytes.len()) {
            Some((head, rest)) => {
                head.copy_from_slice(bytes);
                self.left = rest;
            }
            None => self.full = true,
        }
    }
}

/// Why bytes are not an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    /// They end before the value does.
    #[error("the bytes end before the value does")]
    Ends,
    /// They name a value of an enum that this build does not have.
    #[error("no value has the number {0}")]
    Number(u8),
    /// They are no truth value, no text, or a list that is too long.
    #[error("the bytes are no {0}")]
    Malformed(&'static str),
}

/// Where the bytes of an image come from.
pub trait Source {
    /// Whether whoever reads only folds: what folding never looks at is passed over.
    fn skims(&self) -> bool;
    /// Takes an array off the front.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Misread>;
    /// Takes a slice off the front.
    fn slice(&mut self, length: usize) -> Result<&[u8], Misread>;
}

impl Source for &[u8] {
    fn skims(&self) -> bool {
        false
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Misread> {
        let (head, rest) = self.split_first_chunk().ok_or(Misread::Ends)?;
        *self = rest;
        Ok(*head)
    }

    #[inline(always)]
    fn slice(&mut self, length: usize) -> Result<&[u8], Misread> {
        let (head, rest) = self.split_at_checked(length).ok_or(Misread::Ends)?;
        *self = rest;
        Ok(head)
    }
}

/// Bytes of which only what folding looks at is read.
#[derive(Clone, Copy, Debug)]
pub struct Skim<'a>(pub &'a [u8]);

impl Source for Skim<'_> {
    fn skims(&self) -> bool {
        true
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Misread> {
        self.0.array()
    }

    #[inline(always)]
    fn slice(&mut self, length: usize) -> Result<&[u8], Misread> {
        self.0.slice(length)
    }
}

/// A value with one byte string and one only.
pub trait Image: Sized {
    /// Appends the bytes of this value.
    fn write(&self, sink: &mut impl Sink);

    /// Takes a value off the front of `source`.
    fn read(source: &mut impl Source) -> Result<Self, Misread>;
}

macro_rules! integer_image {
    ($($int:ty),*) => {$(
        impl Image for $int {
            #[inline(always)]
            fn write(&self, sink: &mut impl Sink) {
                sink.array(self.to_le_bytes());
            }

            #[inline(always)]
            fn read(source: &mut impl Source) -> Result<Self, Misread> {
                source.array().map(Self::from_le_bytes)
            }
        }
    )*};
}

integer_image!(u8, u16, u32, u64, u128);

impl Image for bool {
    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        sink.array([u8::from(*self)]);
    }

    #[inline(always)]
    fn read(source: &mut impl Source) -> Result<Self, Misread> {
        match u8::read(source)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Misread::Malformed("truth value")),
        }
    }
}

fn write_length(length: usize, sink: &mut impl Sink) {
    u32::try_from(length).unwrap_or(u32::MAX).write(sink);
}

impl Image for String {
    fn write(&self, sink: &mut impl Sink) {
        write_length(self.len(), sink);
        sink.slice(self.as_bytes());
    }

    fn read(source: &mut impl Source) -> Result<Self, Misread> {
        let length = u32::read(source)? as usize;
        let bytes = source.slice(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Misread::Malformed("text"))
    }
}

impl<T: Image> Image for Box<T> {
    fn write(&self, sink: &mut impl Sink) {
        (**self).write(sink);
    }

    fn read(source: &mut impl Source) -> Result<Self, Misread> {
        T::read(source).map(Self::new)
    }
}

impl<T: Image> Image for Vec<T> {
    fn write(&self, sink: &mut impl Sink) {
        write_length(self.len(), sink);
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(source: &mut impl Source) -> Result<Self, Misread> {
        // A length is not believed before its items are there.
        let length = u32::read(source)?;
        (0..length).map(|_| T::read(source)).collect()
    }
}

impl<T: Image, const N: usize> Image for ArrayVec<T, N> {
    fn write(&self, sink: &mut impl Sink) {
        write_length(self.len(), sink);
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(source: &mut impl Source) -> Result<Self, Misread> {
        let length = u32::read(source)?;
        let mut list = Self::new();
        for _ in 0..length {
            list.try_push(T::read(source)?)
                .map_err(|_| Misread::Malformed("list of this length"))?;
        }
        Ok(list)
    }
}

impl<T: Image> Image for Option<T> {
    fn write(&self, sink: &mut impl Sink) {
        self.is_some().write(sink);
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(source: &mut impl Source) -> Result<Self, Misread> {
        if bool::read(source)? { T::read(source).map(Some) } else { Ok(None) }
    }
}

impl<T: Image, const N: usize> Image for [T; N] {
    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(source: &mut impl Source) -> Result<Self, Misread> {
        let items: ArrayVec<T, N> =
            (0..N).map(|_| T::read(source)).collect::<Result<_, Misread>>()?;
        items.into_inner().map_err(|_| Misread::Ends)
    }
}

/// Newtypes over an image are images.
macro_rules! newtype_image {
    ($($name:ident),* $(,)?) => {$(
        impl Image for $name {
            #[inline(always)]
            fn write(&self, sink: &mut impl Sink) {
                self.0.write(sink);
            }

            #[inline(always)]
            fn read(source: &mut impl Source) -> Result<Self, Misread> {
                Image::read(source).map(Self)
            }
        }
    )*};
}

mod newtypes {
    use super::{Image, Misread, Sink, Source};
    use crate::kernel::units::*;

    newtype_image!(
        Micros,
        Tokens,
        MicroUsd,
        Millijoules,
        Ppm,
        TenantId,
        RegionId,
        ModelId,
        VesselId,
        PolicyVersion,
        BerthId,
        KeySlot,
        PrefixSlot,
        OrderSlot,
        Seq,
        JournalId,
        OrderId,
    );
}

/// Declares a struct whose image is its fields in order, with the derives that every row has.
macro_rules! row {
    ($(#[$doc:meta])* pub struct $name:ident {
        $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::kernel::image::Image for $name {
            #[inline(always)]
            fn write(&self, sink: &mut impl $crate::kernel::image::Sink) {
                $($crate::kernel::image::Image::write(&self.$field, sink);)*
            }

            fn read(
                source: &mut impl $crate::kernel::image::Source,
            ) -> Result<Self, $crate::kernel::image::Misread> {
                Ok(Self { $($field: $crate::kernel::image::Image::read(source)?,)* })
            }
        }
    };
}

/// Declares an enum without payloads whose image is its number; numbers are never reused.
macro_rules! code {
    ($(#[$doc:meta])* pub enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl $name {
            /// Every value, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl $crate::kernel::image::Image for $name {
            #[inline(always)]
            fn write(&self, sink: &mut impl $crate::kernel::image::Sink) {
                sink.array([*self as u8]);
            }

            #[inline(always)]
            fn read(
                source: &mut impl $crate::kernel::image::Source,
            ) -> Result<Self, $crate::kernel::image::Misread> {
                match <u8 as $crate::kernel::image::Image>::read(source)? {
                    $($number => Ok(Self::$variant),)*
                    number => Err($crate::kernel::image::Misread::Number(number)),
                }
            }
        }
    };
}

/// Declares what a module says: an enum whose image is the number of the variant, then its fields in
/// order. Numbers are never reused.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal
            $({ $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })?
            $(($inner:ident: $inner_type:ty))?,)*
    }) => {
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        $(#[$doc])*
        pub enum $name {
            $($(#[$variant_doc])* $variant
                $({ $($(#[$field_doc])* $field: $type,)* })? $(($inner_type))?,)*
        }

        impl $crate::kernel::image::Image for $name {
            fn write(&self, sink: &mut impl $crate::kernel::image::Sink) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(($inner))? => {
                        sink.array([$number]);
                        $($($crate::kernel::image::Image::write($field, sink);)*)?
                        $($crate::kernel::image::Image::write($inner, sink);)?
                    })*
                }
            }

            fn read(
                source: &mut impl $crate::kernel::image::Source,
            ) -> Result<Self, $crate::kernel::image::Misread> {
                match <u8 as $crate::kernel::image::Image>::read(source)? {
                    $($number => Ok(Self::$variant
                        $({ $($field: $crate::kernel::image::Image::read(source)?,)* })?
                        $((<$inner_type as $crate::kernel::image::Image>::read(source)?))?),)*
                    number => Err($crate::kernel::image::Misread::Number(number)),
                }
            }
        }
    };
}

/// Declares the sum of what the modules say: its image is the module's number, then the word's.
macro_rules! sum {
    ($(#[$doc:meta])* pub enum $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal ($inner:ty),)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant($inner),)*
        }

        $(impl From<$inner> for $name {
            fn from(word: $inner) -> Self {
                Self::$variant(word)
            }
        })*

        impl $crate::kernel::image::Image for $name {
            fn write(&self, sink: &mut impl $crate::kernel::image::Sink) {
                match self {
                    $(Self::$variant(word) => {
                        sink.array([$number]);
                        $crate::kernel::image::Image::write(word, sink);
                    })*
                }
            }

            fn read(
                source: &mut impl $crate::kernel::image::Source,
            ) -> Result<Self, $crate::kernel::image::Misread> {
                match <u8 as $crate::kernel::image::Image>::read(source)? {
                    $($number => $crate::kernel::image::Image::read(source).map(Self::$variant),)*
                    number => Err($crate::kernel::image::Misread::Number(number)),
                }
            }
        }
    };
}

pub(crate) use {code, row, sum, words};
