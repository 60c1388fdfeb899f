//! Header map, message events and sans-IO HTTP codecs.
