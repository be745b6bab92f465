package profiles

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestTags: a text or a list, united with those of what is extended; compose's word for them leads there.
func TestTags(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"base.yaml": "image: a\ntags: debug\n", "p.yaml": "extends: base\ntags: [a3, debug]\n"})
	p, err := Load(Options{Cwd: dir}, "./p.yaml")
	must(t, err)
	if !slices.Equal(p.Tags, []string{"debug", "a3"}) {
		t.Errorf("tags %v", p.Tags)
	}
	for _, c := range []struct {
		given []string
		want  bool
	}{{nil, false}, {[]string{"a3"}, true}, {[]string{"other", "debug"}, true}, {[]string{"other"}, false}, {[]string{AnyTag}, true}} {
		if got := p.Tagged(c.given); got != c.want {
			t.Errorf("with %v it is %v", c.given, got)
		}
	}
	if !(&Profile{}).Tagged(nil) {
		t.Error("a profile without tags is left out")
	}
	for text, want := range map[string]string{"tags: ['a b']": `"a b" is no tag`, "tags: {a: b}": "expected", "tags: [x]": `"x" is no tag`, "profiles: [debug]": "belongs to a compose file"} {
		_, err := loadText(t, "image: a\n"+text+"\n")
		var invalid *InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "p.yaml:2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
