//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package store

import (
	"os"
	"syscall"
)

// lock opens a file and locks it for as long as it is open; it fails at once if another has it.
func lock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, err
	}
	// Somebody may have deleted the file between opening and locking it.
	ours, err1 := file.Stat()
	theirs, err2 := os.Stat(path)
	if err1 != nil || err2 != nil || !os.SameFile(ours, theirs) {
		file.Close()
		return nil, ErrLost
	}
	return file, nil
}

// removeClaimed deletes a queue's folder while its claim is held, then ends the claim.
func removeClaimed(path string, claim *os.File) {
	os.RemoveAll(path)
	claim.Close()
}
