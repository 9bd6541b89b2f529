"""Floor 3: the exceptions queue, notifications, audit evidence."""
