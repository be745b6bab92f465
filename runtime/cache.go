package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// cached reads one entry of the cache into v. A cache that is missing, damaged or not ours to read is empty.
func (c *Client) cached(key string, v any) bool {
	if c.opt.CacheDir == "" {
		return false
	}
	b, err := os.ReadFile(filepath.Join(c.opt.CacheDir, key))
	return err == nil && json.Unmarshal(b, v) == nil
}

// cache writes one entry. That it can't costs time only.
func (c *Client) cache(key string, v any) {
	if c.opt.CacheDir == "" {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		return
	}
	path := filepath.Join(c.opt.CacheDir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return
	}
	if err := replaceFile(path, b, 0o600); err != nil {
		c.opt.Log.Debug("write the cache", "path", path, "error", err)
	}
}

func hashOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// build tells one build of this program from another: what it reads out of an image may differ.
// Build tells this program apart from other builds of it: what is cached by another set of rules is not used.
func Build() string { return build() }

var build = sync.OnceValue(func() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	return stamp(self)
})
