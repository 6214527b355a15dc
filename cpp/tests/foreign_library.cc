// A shared object that is no LiteRT library, for library_test.
extern "C" int foreign_library() { return 1; }
