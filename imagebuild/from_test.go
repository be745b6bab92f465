package imagebuild

import (
	"testing"

	"hostrun.dev/hostrun/profiles"
)

func TestBase(t *testing.T) {
	for _, c := range []struct {
		name, text, target, want string
		args                     []profiles.EnvVar
	}{
		{name: "plain", text: "FROM debian:12\nRUN true\n", want: "debian:12"},
		{name: "argument", text: "ARG BASE_IMAGE=a:1\nFROM ${BASE_IMAGE}\n", want: "a:1"},
		{name: "argument given", text: "ARG BASE_IMAGE=a:1\nFROM $BASE_IMAGE\n", args: []profiles.EnvVar{{Name: "BASE_IMAGE", Value: "quay.io/ascend/cann:9"}}, want: "quay.io/ascend/cann:9"},
		{name: "argument's default in place", text: "ARG V\nFROM python:${V:-3.11}-slim\n", want: "python:3.11-slim"},
		{name: "last stage", text: "FROM a AS x\nFROM b\nCOPY --from=x / /\n", want: "b"},
		{name: "stage upon stage", text: "FROM --platform=linux/amd64 a AS One\nfrom one as two\nFROM two\n", want: "a"},
		{name: "target", text: "FROM a AS x\nFROM b AS y\n", target: "X", want: "a"},
		{name: "argument of a stage is none of FROM's", text: "ARG A=1\nFROM a:$A AS x\nARG A=2\nFROM b:$A\n", want: "b:1"},
		{name: "none", text: "# nothing\n", want: ""},
		{name: "Windows", text: "FROM a:1\r\nRUN x\r\n", want: "a:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Base(c.text, c.target, c.args); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
