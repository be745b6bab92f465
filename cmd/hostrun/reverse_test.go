package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDependentsOf(t *testing.T) {
	needs := map[string][]string{"web": {"db", "cache"}, "cache": {"db"}, "other": {"db"}, "a": {"b"}, "b": {"c"}, "c": {"a"}}
	for _, c := range []struct {
		names []string
		want  map[string][]string
	}{
		{[]string{"db", "web", "cache"}, map[string][]string{"db": {"web", "cache"}, "cache": {"web"}}},
		{[]string{"db", "web"}, map[string][]string{"db": {"web"}}},
		{[]string{"db", "unknown"}, map[string][]string{}},
		{[]string{"a", "b", "c"}, map[string][]string{"c": {"b"}, "b": {"a"}}}, // the circle is cut
	} {
		if diff := cmp.Diff(c.want, dependentsOf(c.names, needs)); diff != "" {
			t.Errorf("%v: -want +got\n%s", c.names, diff)
		}
	}
}
