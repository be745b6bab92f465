package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/unit"
)

// This file is about who has written the template among the units of the administrator's: hostrun systemd install, which keeps and removes
// it, or a person, whom it is left to.

const writtenByUs = "# Written by hostrun systemd install: "

// sealed is a template as install writes it: its first line tells whether somebody has changed it since.
func sealed(template string) string {
	return fmt.Sprintf("%s%x\n%s", writtenByUs, sha256.Sum256([]byte(template)), template)
}

// isOurs says whether a file is as some install has written it, be it another version's.
func isOurs(text string) bool {
	_, template, _ := strings.Cut(text, "\n")
	return sealed(template) == text
}

// ownTemplate is what install has to write as the template; "" where that is in place. A template that a person has written or changed,
// as systemctl edit --full does, is left to them, and said.
func (v *services) ownTemplate() (text string, err error) {
	file := filepath.Join(v.root, v.templateFile())
	link, err := os.Readlink(file)
	if err == nil && link == os.DevNull {
		return "", finding.Errorf(finding.StatusTryAgain, "systemctl unmask "+unit.TemplateName, "%s: %s is masked: a link to %s", finding.TemplateOther, file, link)
	}
	have, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if v.hasTemplate() {
			return "", nil
		}
	case err != nil:
		return "", fileError("read", file, err)
	case !isOurs(string(have)) && string(have) != v.template:
		v.s.note("%s: %s is another one than this hostrun's, and is left as it is; hostrun systemd print shows what it would be", finding.TemplateOther, file)
		return "", nil
	}
	return sealed(v.template), nil
}

// hasTemplate says whether make install or a package has brought just that template.
func (v *services) hasTemplate() bool {
	for _, dir := range v.vendor {
		if have, err := os.ReadFile(filepath.Join(v.root, dir, unit.TemplateName)); err == nil {
			return string(have) == v.template
		}
	}
	return false
}

// removeTemplate removes it if it is ours, and nobody's any more.
func (v *services) removeTemplate() error {
	file := filepath.Join(v.root, v.templateFile())
	text, err := os.ReadFile(file)
	if err != nil || !isOurs(string(text)) {
		return nil
	}
	for _, pattern := range []string{"hostrun@?*.service.d", "*.wants/hostrun@*.service", "*.requires/hostrun@*.service"} {
		if left, _ := filepath.Glob(filepath.Join(v.root, v.dir, pattern)); len(left) > 0 {
			return nil
		}
	}
	if err := os.Remove(file); err != nil {
		return fileError("remove", file, err)
	}
	return nil
}
