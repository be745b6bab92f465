package finding

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"up", "check", "checks", "stop", "start", "restart", "shm_size"}
	for word, want := range map[string]string{
		"chekc": "check checks", "strat": "start", "u": "up", "q": "", "xyz": "", "stpo": "stop", "SHM-Size": "shm_size", "res": "restart",
	} {
		if got := strings.Join(Nearest(word, known, 3), " "); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
