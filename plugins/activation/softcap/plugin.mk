pkglib_LTLIBRARIES += plugins/activation_softcap.la
plugins_activation_softcap_la_SOURCES = plugins/activation/softcap/softcap.c plugins/activation/softcap/softcap_kernel.h
plugins_activation_softcap_la_LDFLAGS = $(plugin_ldflags)
