//! Canonical bytes of a row or an event: what is hashed, and what snapshots and journals store.
//!
//! Fields in declaration order, lists led by their length, enums by their number. Numbers are
//! little-endian and as wide as their type in the image of a row, which is written whenever it is
//! hashed; in that of an event, which is written once and hashed at every reading, they are packed.
//! There is no implementation for `usize`, `f32` or `f64`, so a row that holds one does not compile.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use arrayvec::ArrayVec;

/// Where the bytes of an image go: a list that grows, or a slice to be filled.
pub trait Sink {
    /// Appends an array.
    fn array<const N: usize>(&mut self, bytes: [u8; N]);
    /// Appends a slice.
    fn slice(&mut self, bytes: &[u8]);
    /// Appends what `write` does, led by how many bytes that is, in four of them.
    fn measured(&mut self, write: impl FnOnce(&mut Self));
}

impl Sink for Vec<u8> {
    fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.extend_from_slice(&bytes);
    }

    fn slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn measured(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.len();
        write_length(0, self);
        write(self);
        measure(self, start);
    }
}

/// Writes how many bytes follow the length that stands at `start`.
fn measure(list: &mut [u8], start: usize) {
    if let Some((place, rest)) = list.get_mut(start..).and_then(<[u8]>::split_first_chunk_mut) {
        *place = u32::try_from(rest.len()).unwrap_or(u32::MAX).to_le_bytes();
    }
}

/// Packs numbers into a list: one of two, four or eight bytes takes one if it is below 251; else a byte
/// that says how wide it is, and the least width that holds it. This is how bincode does it. Besides, the largest
/// number of its width, which mostly stands for nothing or for ever, is the byte 255.
struct Packed(Vec<u8>);

impl Sink for Packed {
    #[inline(always)]
    fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        if !is_packed(N) {
            return self.0.array(bytes);
        }
        let mut number = [0; 8];
        number.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        let [a, b, c, d, ..] = number;
        if bytes == [u8::MAX; N] {
            return self.0.push(u8::MAX);
        }
        match u64::from_le_bytes(number) {
            ..251 => self.0.push(a),
            251..0x1_0000 => self.0.array([251, a, b]),
            0x1_0000..0x1_0000_0000 => self.0.array([252, a, b, c, d]),
            _ => {
                let [_, _, _, _, e, f, g, h] = number;
                self.0.array([253, a, b, c, d, e, f, g, h]);
            }
        }
    }

    fn slice(&mut self, bytes: &[u8]) {
        self.0.slice(bytes);
    }

    fn measured(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        write_length(0, &mut self.0);
        write(self);
        measure(&mut self.0, start);
    }
}

/// The largest number of so many bytes.
const fn largest(bytes: usize) -> u64 {
    match bytes {
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

/// Whether numbers of so many bytes are packed.
const fn is_packed(bytes: usize) -> bool {
    matches!(bytes, 2 | 4 | 8)
}

/// Appends the packed image of a value.
pub fn pack(value: &impl Image, bytes: &mut Vec<u8>) {
    let mut packed = Packed(core::mem::take(bytes));
    value.write(&mut packed);
    *bytes = packed.0;
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

    fn measured(&mut self, write: impl FnOnce(&mut Self)) {
        let Some((head, rest)) = core::mem::take(&mut self.left).split_first_chunk_mut() else {
            self.full = true;
            return;
        };
        let room = rest.len();
        self.left = rest;
        write(self);
        let length = u32::try_from(room.saturating_sub(self.left.len())).unwrap_or(u32::MAX);
        *head = length.to_le_bytes();
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
    /// A number is packed into more bytes than it needs, or is more than its type holds.
    #[error("a number is not as short as it can be")]
    Wide,
    /// What was measured is longer than what is in it.
    #[error("bytes follow the last item of a list")]
    Rest,
}

/// The first thing that is wrong with bytes, if anything is.
#[derive(Debug, Default)]
pub struct Fault(Cell<Option<Misread>>);

impl Fault {
    /// What is wrong.
    pub fn get(&self) -> Option<Misread> {
        self.0.get()
    }
}

/// Where the bytes of an image come from.
///
/// What is wrong with them is noted, and whatever is read from there on means nothing: so values are
/// read straight through, and asked about once at their end. A source is copied where many are read, so
/// that the place of the next byte stays in a register.
pub trait Source: Copy {
    /// Takes an array off the front; zeros if there is none.
    fn array<const N: usize>(&mut self) -> [u8; N];
    /// Takes a slice off the front; an empty one if there is none of this length.
    fn slice(&mut self, length: usize) -> &[u8];
    /// Takes what was [measured](Sink::measured), which `read` must take to its end. Whoever
    /// skims passes over it.
    fn measured<T: Default>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T;
    /// Notes the first thing that is wrong. Nothing is left to read.
    fn fail(&mut self, misread: Misread);
    /// What is wrong, if anything is.
    fn fault(&self) -> Option<Misread>;
}

/// Bytes that images are read from: packed ones where `PACKED`, and with `SKIMS` no more of them than
/// folding looks at.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a, const PACKED: bool = false, const SKIMS: bool = false> {
    left: &'a [u8],
    fault: &'a Fault,
}

impl<'a, const PACKED: bool, const SKIMS: bool> Reader<'a, PACKED, SKIMS> {
    /// Reads from the front of `bytes`, and notes what is wrong with them.
    pub fn new(bytes: &'a [u8], fault: &'a Fault) -> Self {
        Self { left: bytes, fault }
    }

    /// What has not been read.
    pub fn left(&self) -> &'a [u8] {
        self.left
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> [u8; N] {
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

    /// A packed number of at most so many bytes.
    #[inline(always)]
    fn number(&mut self, bytes: usize) -> u64 {
        let [first] = self.take();
        let (number, least) = match first {
            ..251 => return u64::from(first),
            251 => (u64::from(u16::from_le_bytes(self.take())), 251),
            252 if bytes > 2 => (u64::from(u32::from_le_bytes(self.take())), 1 << 16),
            253 if bytes > 4 => (u64::from_le_bytes(self.take()), 1 << 32),
            255 => return largest(bytes),
            _ => (0, 1),
        };
        if number < least || number == largest(bytes) {
            self.fail(Misread::Wide);
        }
        number
    }
}

impl<const PACKED: bool, const SKIMS: bool> Source for Reader<'_, PACKED, SKIMS> {
    #[inline(always)]
    fn array<const N: usize>(&mut self) -> [u8; N] {
        if !PACKED || !is_packed(N) {
            return self.take();
        }
        let number = self.number(N).to_le_bytes();
        let mut bytes = [0; N];
        bytes.iter_mut().zip(number).for_each(|(to, from)| *to = from);
        bytes
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

    #[inline(always)]
    fn measured<T: Default>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = u32::from_le_bytes(self.take()) as usize;
        let Some((own, rest)) = self.left.split_at_checked(length) else {
            self.fail(Misread::Ends);
            return T::default();
        };
        self.left = rest;
        if SKIMS {
            return T::default();
        }
        let mut part = Self { left: own, fault: self.fault };
        let value = read(&mut part);
        if !part.left.is_empty() || part.fault().is_some() {
            self.fail(Misread::Rest);
        }
        value
    }

    // Not a call, which would have to be told where the place of the next byte is kept.
    #[inline(always)]
    fn fail(&mut self, misread: Misread) {
        if self.fault.get().is_none() {
            self.fault.0.set(Some(misread));
        }
        self.left = &[];
    }

    #[inline(always)]
    fn fault(&self) -> Option<Misread> {
        self.fault.get()
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

    #[inline(always)]
    fn read(source: &mut impl Source) -> Self {
        match u32::read(source) {
            0 => Self::new(),
            length => {
                let list;
                (list, *source) = items(length, *source);
                list
            }
        }
    }
}

fn items<T: Image, S: Source>(length: u32, mut source: S) -> (Vec<T>, S) {
    let mut list = Vec::new();
    for _ in 0..length {
        list.push(T::read(&mut source));
        // A length is not believed beyond the items that are there.
        if source.fault().is_some() {
            break;
        }
    }
    (list, source)
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
        let _: [(); N] = self.each_ref().map(|item| item.write(sink));
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
        PicoUsd,
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
        LengthSlot,
        StopSlot,
        JobSlot,
        JobId,
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

            #[inline(always)]
            fn read(source: &mut impl $crate::kernel::image::Source) -> Self {
                let mut number = <u8 as $crate::kernel::image::Image>::read(source);
                loop {
                    match number {
                        $($number => {
                            #[allow(unused_mut, reason = "a word without fields reads nothing")]
                            let mut own = *source;
                            let word = Self::$variant
                                $({ $($field: $crate::kernel::image::Image::read(&mut own),)* })?
                                $((<$inner_type as $crate::kernel::image::Image>::read(&mut own)))?;
                            *source = own;
                            return word;
                        })*
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
