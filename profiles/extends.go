package profiles

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// An extension is the value of extends.
type extension struct{ name, file, service string }

// base returns the file that src extends. Problems are reported.
func (l *loader) base(src source, p *pair) (source, bool) {
	d := &decoder{profile: &Profile{Lines: map[string]Position{}}, report: l.report, env: l.env, levels: map[string]int{}}
	var e extension
	if p.value.kind == mapping {
		if before := l.report.added; !readFields(d, &e, p.value, "extends", extendsFields) || l.report.added > before {
			return source{}, false
		}
	} else if s, ok := d.text(p.value, "extends"); ok {
		e.name = s
	} else {
		return source{}, false
	}
	return l.resolve(d, src, p, e)
}

func (l *loader) resolve(d *decoder, src source, p *pair, e extension) (source, bool) {
	if e.service != "" && e.name == "" {
		e.name = e.service
	}
	if isPath(e.name) && e.file == "" {
		e.file, e.name = e.name, ""
	}
	switch {
	case e.file != "":
		return l.baseFile(d, src, p, e)
	case e.name != "":
		base, err := l.baseName(src, e.name)
		if err != nil {
			d.bad(p.value, "extends", strings.Join(finding.HintOf(err), "; "), "%v", err)
			return source{}, false
		}
		return base, true
	}
	d.bad(p.value, "extends", "write extends: NAME, or extends: {file: ./NAME.yaml}", "neither a profile nor a file is named")
	return source{}, false
}

// baseName looks for a profile beside src first: files that belong together lie together. A profile that extends its
// own name means the one that it hides: ./profiles/dinov2.yaml extends the built-in dinov2.
func (l *loader) baseName(src source, name string) (source, error) {
	if !src.builtin {
		beside := l.opt
		beside.Dirs = append([]string{filepath.Dir(src.shown)}, l.opt.Dirs...)
		if src.inStack {
			beside.Dirs = append([]string{src.shown}, beside.Dirs...)
		}
		return findOther(beside, name, src)
	}
	return findOther(l.opt, name, source{})
}

func (l *loader) baseFile(d *decoder, src source, p *pair, e extension) (source, bool) {
	path := d.hostPath(p.value, "extends", e.file)
	if path == "" {
		return source{}, false
	}
	base := source{name: stem(path), path: path, shown: e.file}
	if !filepath.IsAbs(e.file) && !src.builtin && !strings.HasPrefix(e.file, "~") {
		base.shown = filepath.Join(filepath.Dir(src.shown), e.file)
	}
	if e.name != "" && membersIn(l.opt, path) != nil {
		base.name, base.inStack = e.name, true
	}
	if e.name != "" && e.name != base.name {
		d.bad(p.value, "extends", "a file holds one profile: remove the name, or correct the file", "%s holds the profile %q, not %q", e.file, base.name, e.name)
		return source{}, false
	}
	if _, err := os.Stat(path); err != nil {
		l.report.add(Problem{Position: p.pos, Key: "extends", Status: statusOfRead(err), Message: fmt.Sprintf("extends: read %q: %v", e.file, cause(err)), Remedy: "correct the path; it is relative to this file"})
		return source{}, false
	}
	return base, true
}
