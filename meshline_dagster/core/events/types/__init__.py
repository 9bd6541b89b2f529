"""The models of events. Every module here is read: a new event type, or a new version of one, is one more model in one of them."""
