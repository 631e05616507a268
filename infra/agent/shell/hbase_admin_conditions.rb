# Words about what this HBase could open: codecs, ciphers, and the quotas of the scratch namespace.
#
# A part of hbase_admin.rb, where the whole is described; every word takes its request.
module HBaseConditions
  # What the master says last, of a family with such a scope, after everything else was looked at.
  NO_SUCH_SCOPE = 'Replication scope'.freeze
  SANITY_CHECKS = 'hbase.table.sanity.checks'.freeze
  CHECKS = [SANITY_CHECKS, 'hbase.master.check.compression', 'hbase.master.check.encryption'].freeze

  # → by their names, why codecs and ciphers cannot be used here (nil: they can), and how many tables the scratch
  # namespace has, and how many and regions it may have (nil: any number). The master tries codecs when it looks at a new table's schema; this one is refused in any case, so
  # nothing is made.
  def clone_conditions(_request)
    ensure_namespace(probe)
    codecs = org.apache.hadoop.hbase.io.compress.Compression::Algorithm.values.map(&:toString) - ['NONE']
    scratch = @admin.getNamespaceDescriptor(SCRATCH_NAMESPACE)
    { 'codecs' => codecs.map { |codec| [codec, why_not('COMPRESSION', codec)] }.to_h,
      'ciphers' => { 'AES' => why_not('ENCRYPTION', 'AES') },
      'tables' => @admin.listTableNamesByNamespace(SCRATCH_NAMESPACE).length,
      'most_tables' => quota(scratch, 'hbase.namespace.quota.maxtables'),
      'most_regions' => quota(scratch, 'hbase.namespace.quota.maxregions') }
  end

  private

  def probe
    TableName.valueOf(SCRATCH_NAMESPACE, 'probe')
  end

  def quota(namespace, key)
    value = namespace.getConfigurationValue(key)
    value && Integer(value)
  end

  # What the master has against a family with an attribute, nil when it has nothing; raises what is about something else.
  def why_not(attribute, value)
    family = ColumnFamilyDescriptorBuilder.newBuilder('f'.to_java_bytes).setValue('REPLICATION_SCOPE', '99').setValue(attribute, value)
    table = TableDescriptorBuilder.newBuilder(probe).setColumnFamily(family.build)
    CHECKS.each { |check| table.setValue(check, 'true') }
    @admin.createTable(table.build)
    @admin.disableTable(probe)
    @admin.deleteTable(probe)
    nil
  rescue java.io.IOException => error
    reason_in(error)
  end

  def reason_in(error)
    text = error.getMessage.to_s.split("\n").first.to_s
    return nil if text.include?(NO_SUCH_SCOPE)
    raise error unless text.include?(SANITY_CHECKS)

    text.sub(/\A[\w.$]+Exception: /, '').split(" Set #{SANITY_CHECKS}").first[0, 300]
  end
end
