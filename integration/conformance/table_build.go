package main

import (
	"os"
	"path/filepath"
)

// dockerfile is that of the directory app.
const dockerfile = `ARG BASE=conformance:1
FROM ${BASE} AS first
ENV STAGE=first
FROM first
ARG WORD=default
ENV STAGE=second WORD=$WORD
COPY content /built
RUN echo run >>/built
WORKDIR /work
USER app
LABEL of=dockerfile
STOPSIGNAL SIGUSR2
CMD ["/probe", "report", "/built"]
`

func buildScenes() []scene {
	const g = "build"
	built := func(name, about, build string, differ ...difference) scene {
		return alone(g, name, about, "image: built-@\nbuild: "+build, differ...).of("none")
	}
	return []scene{
		built("build", "a directory", "./app"),
		built("build-args", "arguments, one of them the caller's", "{context: ./app, args: {WORD: given, FROM_CALLER: }}"),
		built("build-args-list", "arguments in a list", "{context: ./app, args: [WORD=listed, BASE=conformance:1]}"),
		built("build-target", "a stage", "{context: ./app, target: first}"),
		built("build-dockerfile", "another file", "{context: ./app, dockerfile: other.Dockerfile}"),
		built("build-inline", "the text of a Dockerfile", "{context: ./app, dockerfile_inline: \"FROM conformance:1\\nENV INLINE=yes\\nCOPY content /c\\n\"}"),
		built("build-labels", "labels, another network", "{context: ./app, labels: {mine: yes-it-is}, network: none, no_cache: true}"),
		played(g, "build-changed", "up --build after a change", "image: built-@\nbuild: ./@\nnetwork_mode: none\ncommand: [cat, /content]\n", func(p *player) {
			dir := filepath.Join(p.m.dir, "services", p.name)
			write := func(text string) {
				_ = os.MkdirAll(dir, 0o755)
				_ = os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM conformance:1\nCOPY content /content\n"), 0o644)
				_ = os.WriteFile(filepath.Join(dir, "content"), []byte(text), 0o644)
			}
			write("one")
			p.start()
			p.ended(p.name)
			write("two")
			p.noteStatus("up", p.up(nil, p.name))
			p.ended(p.name)
			p.note("not built again", p.logged(p.name))
			p.noteStatus("build", p.up([]string{"--build"}, p.name))
			p.ended(p.name)
			p.note("built again", p.logged(p.name))
		}).of("none"),
		played(g, "build-broken", "a Dockerfile that fails", "image: built-@\nbuild: {context: ./app, dockerfile_inline: \"FROM conformance:1\\nRUN exit 3\\n\"}\nnetwork_mode: none\n", func(p *player) {
			p.note("up fails", p.up(nil, p.name).status != 0)
		}).of("none"),
		played(g, "build-nowhere", "a context that is not there", "image: built-@\nbuild: ./nowhere-to-build\nnetwork_mode: none\n", func(p *player) {
			p.note("up fails", p.up(nil, p.name).status != 0)
		}).of("none"),
		played(g, "build-healthcheck", "the image's own HEALTHCHECK", "image: built-@\nbuild: {context: ./app, dockerfile_inline: \"FROM conformance:1\\nHEALTHCHECK --interval=1s CMD true\\n\"}\n"+idle, func(p *player) {
			p.start()
			p.wait("it is healthy", func() bool { return p.state(p.name).Health == "healthy" })
			p.note("health", p.state(p.name).Health)
		}).of("none"),
	}
}
