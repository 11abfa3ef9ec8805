pkglib_LTLIBRARIES += plugins/halting_act.la
plugins_halting_act_la_SOURCES = plugins/halting/act/act.c plugins/halting/act/act_kernel.h
plugins_halting_act_la_LDFLAGS = $(plugin_ldflags)
