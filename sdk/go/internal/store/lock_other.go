//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package store

import "os"

func lock(string) (*os.File, error) { return nil, errUnsupported }

func removeClaimed(path string, claim *os.File) { claim.Close() }
