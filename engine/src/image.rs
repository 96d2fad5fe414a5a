//! Canonical bytes of a row: what is hashed, and what a snapshot stores.
//!
//! Little-endian, fixed-width, fields in declaration order, lists led by their length. There is no
//! implementation for `usize`, `f32` or `f64`, so a row that holds one does not compile.

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
/// a register: most of what a digest costs is the writing of the row.
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

/// A value with one byte string and one only.
pub trait Image: Sized {
    /// Appends the bytes of this value.
    fn write(&self, sink: &mut impl Sink);

    /// Takes a value off the front of `bytes`; `None` if they are not one.
    fn read(bytes: &mut &[u8]) -> Option<Self>;
}

macro_rules! integer_image {
    ($($int:ty),*) => {$(
        impl Image for $int {
            #[inline(always)]
            fn write(&self, sink: &mut impl Sink) {
                sink.array(self.to_le_bytes());
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                let (head, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_le_bytes(*head))
            }
        }
    )*};
}

integer_image!(u8, u16, u32, u64, u128);

impl Image for bool {
    fn write(&self, sink: &mut impl Sink) {
        sink.array([u8::from(*self)]);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match u8::read(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
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

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = usize::try_from(u32::read(bytes)?).ok()?;
        let (head, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        String::from_utf8(head.to_vec()).ok()
    }
}

impl<T: Image> Image for Vec<T> {
    fn write(&self, sink: &mut impl Sink) {
        write_length(self.len(), sink);
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = u32::read(bytes)?;
        (0..length).map(|_| T::read(bytes)).collect()
    }
}

impl<T: Image, const N: usize> Image for ArrayVec<T, N> {
    fn write(&self, sink: &mut impl Sink) {
        write_length(self.len(), sink);
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = u32::read(bytes)?;
        let mut list = Self::new();
        for _ in 0..length {
            list.try_push(T::read(bytes)?).ok()?;
        }
        Some(list)
    }
}

impl<T: Image> Image for Option<T> {
    fn write(&self, sink: &mut impl Sink) {
        self.is_some().write(sink);
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        if bool::read(bytes)? { T::read(bytes).map(Some) } else { Some(None) }
    }
}

impl<T: Image, const N: usize> Image for [T; N] {
    fn write(&self, sink: &mut impl Sink) {
        self.iter().for_each(|item| item.write(sink));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let items: ArrayVec<T, N> = (0..N).map_while(|_| T::read(bytes)).collect();
        items.into_inner().ok()
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

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                Image::read(bytes).map(Self)
            }
        }
    )*};
}

mod newtypes {
    use super::{Image, Sink};
    use crate::units::*;

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

        impl $crate::image::Image for $name {
            fn write(&self, sink: &mut impl $crate::image::Sink) {
                $($crate::image::Image::write(&self.$field, sink);)*
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: $crate::image::Image::read(bytes)?,)* })
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

        impl $crate::image::Image for $name {
            #[inline(always)]
            fn write(&self, sink: &mut impl $crate::image::Sink) {
                sink.array([*self as u8]);
            }

            fn read(bytes: &mut &[u8]) -> Option<Self> {
                match <u8 as $crate::image::Image>::read(bytes)? {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use {code, row};
