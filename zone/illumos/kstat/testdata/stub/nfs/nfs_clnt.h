/* Included by github.com/illumos/go-kstat for what a type check does not need. */
