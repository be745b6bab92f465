package nvidia

import "time"

// SetClock sets a source's clock.
func SetClock(s *Source, now func() time.Time) { s.now = now }
