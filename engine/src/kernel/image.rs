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
    /// A byte is neither of the truth values.
    #[error("a byte is no truth value")]
    Truth,
    /// The bytes of a text are not UTF-8.
    #[error("the bytes are no text")]
    Text,
    /// A list is longer than any of its kind.
    #[error("the list is too long")]
    List,
}

/// Where the bytes of an image come from.
///
/// What is wrong with them is noted, and whatever is read from there on means nothing: so values are
/// read straight through, and asked about once at their end.
pub trait Source {
    /// Takes an array off the front; zeros if there is none.
    fn array<const N: usize>(&mut self) -> [u8; N];
    /// Takes a slice off the front; an empty one if there is none of this length.
    fn slice(&mut self, length: usize) -> &[u8];
    /// Notes the first thing that is wrong. Nothing is left to read.
    fn fail(&mut self, misread: Misread);
    /// What is wrong, if anything is.
    fn fault(&self) -> Option<Misread>;
    /// Whether whoever reads only folds: what folding never looks at is passed over.
    fn skims(&self) -> bool;
}

/// Bytes that images are read from. With `SKIMS` only what folding looks at is read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a, const SKIMS: bool = false> {
    left: &'a [u8],
    fault: Option<Misread>,
}

impl<'a, const SKIMS: bool> Reader<'a, SKIMS> {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, fault: None }
    }

    /// What has not been read.
    pub fn left(&self) -> &'a [u8] {
        self.left
    }
}

impl<const SKIMS: bool> Source for Reader<'_, SKIMS> {
    #[inline(always)]
    fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.left.split_first_chunk() {
            Some((head, rest)) => {
                self.left = rest;
                *head
            }
            None => {
                self.fail(Misread::Ends);
                [0; N]
            }
        }
    }

    #[inline(always)]
    fn slice(&mut self, length: usize) -> &[u8] {
        match self.left.split_at_checked(length) {
            Some((head, rest)) => {
                self.left = rest;
                head
            }
            None => {
                self.fail(Misread::Ends);
                &[]
            }
        }
    }

    #[cold]
    fn fail(&mut self, misread: Misread) {
        self.fault.get_or_insert(misread);
        self.left = &[];
    }

    #[inline(always)]
    fn fault(&self) -> Option<Misread> {
        self.fault
    }

    #[inline(always)]
    fn skims(&self) -> bool {
        SKIMS
    }
}

/// A value with one byte string and one only.
pub trait Image: Sized {
    /// Appends the bytes of this value.
    fn write(&self, sink: &mut impl Sink);

    /// Takes a value off the front of `source`. It means nothing if the source has failed.
    fn read(source: &mut impl Source) -> Self;
}

macro_rules! integer_image {
    ($($int:ty),*) => {$(
        impl Image for $int {
            #[inline(always)]
            fn write(&self, sink: &mut impl Sink) {
                sink.array(self.to_le_bytes());
            }

            #[inline(always)]
            fn read(source: &mut impl Source) -> Self {
                Self::from_le_bytes(source.array())
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
    fn read(source: &mut impl Source) -> Self {
        let byte = u8::read(source);
        if byte > 1 {
            source.fail(Misread::Truth);
        }
        byte == 1
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

    fn read(source: &mut impl Source) -> Self {
        let length = u32::read(source) as usize;
        let text = String::from_utf8(source.slice(length).to_vec());
        text.unwrap_or_else(|_| {
            source.fail(Misread::Text);
            String::new()
        })
    }
}

impl<T: Image> Image for Box<T> {
    fn write(&self, sink: &mut impl Sink) {
        (**self).write(sink);
    }

    fn read(source: &mut impl Source) -> Self {
        Self::new(T::read(source))
    }
}

impl<T: Image> Image for Vec<T> {
    fn write(&self, sink: &mut impl Sink) {
        write_length(self.len(), sink);
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(source: &mut impl Source) -> Self {
        let mut list = Self::new();
        for _ in 0..u32::read(source) {
            list.push(T::read(source));
            // A length is not believed beyond the items that are there.
            if source.fault().is_some() {
                break;
            }
        }
        list
    }
}

impl<T: Image, const N: usize> Image for ArrayVec<T, N> {
    fn write(&self, sink: &mut impl Sink) {
        write_length(self.len(), sink);
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(source: &mut impl Source) -> Self {
        let length = u32::read(source) as usize;
        if length > N {
            source.fail(Misread::List);
        }
        (0..length.min(N)).map(|_| T::read(source)).collect()
    }
}

impl<T: Image> Image for Option<T> {
    fn write(&self, sink: &mut impl Sink) {
        self.is_some().write(sink);
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(source: &mut impl Source) -> Self {
        bool::read(source).then(|| T::read(source))
    }
}

impl<T: Image, const N: usize> Image for [T; N] {
    #[inline(always)]
    fn write(&self, sink: &mut impl Sink) {
        self.iter().for_each(|item| item.write(sink));
    }

    #[inline(always)]
    fn read(source: &mut impl Source) -> Self {
        core::array::from_fn(|_| T::read(source))
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
            fn read(source: &mut impl Source) -> Self {
                Self(Image::read(source))
            }
        }
    )*};
}

mod newtypes {
    use super::{Image, Sink, Source};
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

            #[inline(always)]
            fn read(source: &mut impl $crate::kernel::image::Source) -> Self {
                Self { $($field: $crate::kernel::image::Image::read(source),)* }
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
            fn read(source: &mut impl $crate::kernel::image::Source) -> Self {
                match <u8 as $crate::kernel::image::Image>::read(source) {
                    $($number => Self::$variant,)*
                    number => {
                        source.fail($crate::kernel::image::Misread::Number(number));
                        [$(Self::$variant),*][0]
                    }
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

            fn read(source: &mut impl $crate::kernel::image::Source) -> Self {
                let mut number = <u8 as $crate::kernel::image::Image>::read(source);
                loop {
                    match number {
                        $($number => return Self::$variant
                            $({ $($field: $crate::kernel::image::Image::read(source),)* })?
                            $((<$inner_type as $crate::kernel::image::Image>::read(source)))?,)*
                        unknown => {
                            source.fail($crate::kernel::image::Misread::Number(unknown));
                            // Some word has to stand for one that means nothing.
                            [number, ..] = [$($number),*];
                        }
                    }
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

            fn read(source: &mut impl $crate::kernel::image::Source) -> Self {
                let mut number = <u8 as $crate::kernel::image::Image>::read(source);
                loop {
                    match number {
                        $($number => {
                            return Self::$variant($crate::kernel::image::Image::read(source));
                        })*
                        unknown => {
                            source.fail($crate::kernel::image::Misread::Number(unknown));
                            [number, ..] = [$($number),*];
                        }
                    }
                }
            }
        }
    };
}

pub(crate) use {code, row, sum, words};
