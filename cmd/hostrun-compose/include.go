package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"go.yaml.in/yaml/v3"
)

// An included file has variables of its own: those of the env_file of its entry, or of the .env beside it. Caller and project go before
// them (compose-spec, 14-include.md). The one file that is made of all has no place for that, so they become defaults.

// An inclusion is one entry of include:, as far as it matters here.
type inclusion struct {
	Path    words  `yaml:"path"`
	Dir     string `yaml:"project_directory"`
	EnvFile words  `yaml:"env_file"`
}

func (i *inclusion) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		i.Path = words{n.Value}
		return nil
	}
	type plain inclusion
	return n.Decode((*plain)(i))
}

// words are one or several.
type words []string

func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*w = words{n.Value}
		return nil
	}
	return n.Decode((*[]string)(w))
}

// includedEnv are the variables that inclusions of the files bring, of those that are not known yet. What can't be read the library has
// reported.
func includedEnv(files []string, dir string, known map[string]string, open []string) (map[string]string, error) {
	all := map[string]string{}
	for _, file := range files {
		var model struct {
			Include []inclusion `yaml:"include"`
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(text, &model); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, one := range model.Include {
			env, err := one.env(dir, known, open)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, env)
		}
	}
	return all, nil
}

func (i inclusion) env(dir string, known map[string]string, open []string) (map[string]string, error) {
	var paths []string
	for _, p := range i.Path {
		if strings.Contains(p, "://") || strings.HasPrefix(p, "git@") || strings.HasPrefix(p, "oci:") {
			return nil, nil // the library has said that it can't fetch it
		}
		paths = append(paths, below(dir, p))
	}
	if len(paths) == 0 {
		return nil, nil
	}
	for _, p := range open {
		if p == paths[0] {
			return nil, errors.New("include cycle: " + p)
		}
	}
	project := filepath.Dir(paths[0])
	if i.Dir != "" {
		project = below(dir, i.Dir)
	}
	var envFiles []string
	for _, f := range i.EnvFile {
		if f != "/dev/null" {
			envFiles = append(envFiles, below(dir, f))
		}
	}
	if f := filepath.Join(project, ".env"); len(i.EnvFile) == 0 && isFile(f) {
		envFiles = []string{f}
	}
	env, err := dotenv.GetEnvFromFile(known, envFiles)
	if err != nil {
		return nil, err
	}
	for name := range known {
		delete(env, name)
	}
	deeper := maps.Clone(known)
	maps.Copy(deeper, env)
	more, err := includedEnv(paths, project, deeper, append(open[:len(open):len(open)], paths[0]))
	maps.Copy(env, more)
	return env, err
}

func below(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}

// variable is one as it stands in a text: $$, $NAME, or ${NAME} with at most one word behind it.
var variable = regexp.MustCompile(`\$\$|\$([A-Za-z_][A-Za-z0-9_]*)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?+])([^{}$]*))?\}`)

// withDefaults gives the variables in the texts of a model the values of env, where nobody else sets them.
func withDefaults(model any, env map[string]string) any {
	switch v := model.(type) {
	case string:
		return variable.ReplaceAllStringFunc(v, func(s string) string {
			m := variable.FindStringSubmatch(s)
			name := m[1] + m[2]
			value, ok := env[name]
			switch {
			case !ok || name == "":
				return s
			case strings.HasSuffix(m[3], "+"):
				if value == "" && m[3] == ":+" {
					return s
				}
				return m[4]
			case value == "" && strings.HasPrefix(m[3], ":"):
				return s
			case strings.ContainsAny(value, "{}$"): // no default can hold it
				return strings.ReplaceAll(value, "$", "$$")
			}
			return "${" + name + "-" + value + "}"
		})
	case map[string]any:
		for key, value := range v {
			v[key] = withDefaults(value, env)
		}
	case []any:
		for i := range v {
			v[i] = withDefaults(v[i], env)
		}
	}
	return model
}
