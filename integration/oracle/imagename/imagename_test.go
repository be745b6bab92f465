// Package imagename compares hostrun's reading of images' names with docker's library.
package imagename

import (
	"strings"
	"testing"

	"github.com/distribution/reference"

	"hostrun.dev/hostrun/imagename"
)

const sum = "@sha256:7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa"

var names = []string{
	"dinov2", "dinov2:v1", "team/dinov2", "team/dinov2:v1", "a/b/c", "docker.io/dinov2", "docker.io/a/b", "index.docker.io/dinov2",
	"index.docker.io/a/b:c", "localhost/x", "localhost:5000/x:y", "localhost", "registry.example/team/dinov2:v1", "registry.example:5000/x" + sum,
	"x:v1" + sum, "x" + sum, "docker.io/library/x/y", "docker.io/library/x:t", "TEAM/x", "Team:5000/x", "[::1]/x", "[::1]:5000/x:y", "[fe80::1%eth0]/x",
	"127.0.0.1:5000/x", "under_score.example/x", "under_score:5000/x", "-a.example/x", "a-.example/x", "a..b/x", "a.b./x",
	"", ":", "@", "/", "x/", "/x", "x:", "x@", "x:y:z", "x@y", "x@sha256:abcd", "x@md5:7cc4b5aefd1d0cadf8d97d4350462ba5", "x:y@", "x/y:z/w",
	"X", "x:Y", "a/B", "a.b/C", "a__b", "a___b", "a.b", "a..b", "a--b", "a----b", "a._b", "a_.b", "-a", "a-", "a.", ".a", "_a", "a_", "ä", "a b", "a\n", "a\x00",
	"x:.y", "x:-y", "x:_y", "x:" + strings.Repeat("t", 128), "x:" + strings.Repeat("t", 129), strings.Repeat("a", 247), strings.Repeat("a", 248), strings.Repeat("a", 255),
	"r.example/" + strings.Repeat("a", 255), "r.example/" + strings.Repeat("a", 256), sum[8:], strings.ToUpper(sum[8:]), "x" + strings.ToUpper(sum), "x:é",
	"a.b:/x", "a.b:5a/x", "a.b:80:80/x", "[::1]x/x", "[]/x", "[::1]:/x", "a@b/c", "a.b/c@d/e", "x@sha512:" + strings.Repeat("a", 128),
}

// check compares with docker's own rules.
func check(t *testing.T, s string) {
	t.Helper()
	ours, err := imagename.Parse(s)
	theirs, theirErr := reference.ParseNormalizedNamed(s)
	if (err == nil) != (theirErr == nil) {
		t.Fatalf("%q: ours %+v %v, theirs %v %v", s, ours, err, theirs, theirErr)
	}
	if err != nil {
		return
	}
	full, fullErr := reference.ParseDockerRef(s)
	if fullErr != nil || ours.Full() != full.String() {
		t.Errorf("%q: full: ours %q, theirs %v %v", s, ours.Full(), full, fullErr)
	}
	if ours.Exact() != theirs.String() || ours.Repository() != theirs.Name() {
		t.Errorf("%q: exact: ours %q %q, theirs %v %v", s, ours.Exact(), ours.Repository(), theirs, theirs.Name())
	}
	if familiar := reference.FamiliarString(theirs); ours.Familiar() != familiar {
		t.Errorf("%q: familiar: ours %q, theirs %q", s, ours.Familiar(), familiar)
	}
	for _, tag := range []string{"v2", "", ".x", "a:b"} {
		named, tagErr := reference.WithTag(reference.TrimNamed(theirs), tag)
		tagged, ok := ours.WithTag(tag)
		if ok != (tagErr == nil) || ok && tagged.Full() != named.String() {
			t.Errorf("%q with tag %q: ours %v %v, theirs %v %v", s, tag, tagged, ok, named, tagErr)
		}
	}
}

func TestParseAgreesWithDistribution(t *testing.T) {
	for _, s := range names {
		check(t, s)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range names {
		f.Add(s)
	}
	f.Fuzz(check)
}
