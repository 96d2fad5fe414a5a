//! What is said about identity.

use crate::kernel::image::words;
use crate::security::rows::Scope;

words! {
    /// What the sender lacks.
    #[serde(rename = "security::Refusal")]
    pub enum Refusal {
        /// The sender may not do this.
        Forbidden = 0 {
            /// What it would have to be allowed.
            scope: Scope,
        },
    }
}
