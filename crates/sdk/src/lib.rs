//! What an extension implements, and the registries that find it.
